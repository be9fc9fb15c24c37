/* The script of every page: shows the page that the document names. */

import { parameters } from "./api.js";
import { show } from "./page.js";

const { Page } = await import(`./${document.body.dataset.page}.js`);
show(new Page(parameters(location.search)));
