// SPDX-License-Identifier: Apache-2.0
// Asks the search for Chinese words by each two characters in a row, as they are in its index.

const wordsOf = (query) =>
  query.match(/[\u4e00-\u9fff]+|[^\s\p{P}\p{S}\u4e00-\u9fff][^\s\u4e00-\u9fff]*/gu) ?? [];

const pairsOf = (word) =>
  /^[\u4e00-\u9fff]{3}/.test(word) ? [...word.slice(1)].map((end, at) => word[at] + end) : [word];

// Sphinx calls this for what it looks up.
function splitQuery(query) {
  return wordsOf(query).flatMap(pairsOf);
}

// What it highlights are the words themselves. On other pages than that of the search there is no `Search`.
if (typeof Search !== "undefined") {
  const parse = Search._parseQuery;
  Search._parseQuery = (query) => {
    const parsed = parse(query);
    parsed[3] = new Set(wordsOf(query.toLowerCase()));
    localStorage.setItem("sphinx_highlight_terms", [...parsed[3]].join(" "));
    return parsed;
  };
}
