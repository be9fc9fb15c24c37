/* The script of every page: shows the page that the document names. */

import { addressed } from "./api.js";
import { show } from "./page.js";

const address = addressed();
const { Page } = await import(`./${document.body.dataset.page}.js`);
show(new Page(address));
