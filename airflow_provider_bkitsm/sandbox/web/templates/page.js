// A ticket's address is the real server's, with the page behind the hash.
function followHash() {
  const found = /^#\/ticket\/(?:detail(?:-iframe)?\?id=)?(\d+)/.exec(location.hash);
  if (found) location.replace("/ticket/" + found[1]);
}
addEventListener("hashchange", followHash);
followHash();

// A rejection needs a remark; say so before the form is sent.
document.addEventListener("submit", (event) => {
  const remark = event.target.elements.remark;
  if (event.submitter.value === "reject" && !remark.value.trim()) {
    event.preventDefault();
    remark.placeholder = remark.dataset.needed;
    remark.focus();
  }
});

// Refreshes what changed and leaves alone what somebody is writing in.
const LIVE = "[data-live]";

function keepTyping(old, fresh) {
  for (const name of ["remark", "operator"]) {
    const [from, to] = [old, fresh].map((card) => card.querySelector(`[name=${name}]`));
    if (
      from &&
      to &&
      from.value &&
      (to.tagName !== "SELECT" || [...to.options].some((one) => one.value === from.value))
    ) {
      to.value = from.value;
    }
  }
}

function refreshCards(list, fresh) {
  const old = new Map([...list.children].map((card) => [card.dataset.key, card]));
  const cards = [...fresh.children].map((card) => {
    const kept = old.get(card.dataset.key);
    if (kept && kept.dataset.version === card.dataset.version) {
      const [was, is] = [kept, card].map((one) => one.querySelector("[data-age]"));
      if (was && is) was.textContent = is.textContent;
      return kept;
    }
    if (kept) keepTyping(kept, card);
    return card;
  });
  [...list.children].filter((card) => !cards.includes(card)).forEach((card) => card.remove());
  cards.forEach((card, place) => {
    if (list.children[place] !== card) list.insertBefore(card, list.children[place] || null);
  });
}

async function refresh() {
  if (document.hidden) return;
  const answer = await fetch(location.pathname).catch(() => null);
  if (!answer || !answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  // Another language was chosen in another tab.
  if (page.documentElement.lang !== document.documentElement.lang) return location.reload();
  for (const here of document.querySelectorAll(LIVE)) {
    const fresh = page.getElementById(here.id);
    if (!fresh) continue;
    if (here.dataset.live === "cards") refreshCards(here, fresh);
    else if (here.innerHTML !== fresh.innerHTML) here.innerHTML = fresh.innerHTML;
  }
}
setInterval(refresh, 3000);
