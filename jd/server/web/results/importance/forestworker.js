// The forest, in a thread of its own: a page answers while it grows. Takes {turn, columns, y} and tells what
// matters, or {turn, name} and tells the partial dependence on that parameter in the newest model.

import {dependence, matter, modelOf} from "./matter.js";

let model = null;

addEventListener("message", ({data: {turn, columns, y, name}}) => {
  if (columns) {
    model = modelOf(columns, y);
    postMessage({turn, found: model && matter(model)});
  } else postMessage({turn, found: model && dependence(model, name)});
});
