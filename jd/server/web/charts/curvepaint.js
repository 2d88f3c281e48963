// Curves on a canvas, and as the path of a drawing.

const DOT = 2.5, HEAD = 3.5;  // pixels: a report that stands alone, and the last one of a job that runs
const TURN = 2 * Math.PI;

/** Paint curves in their order: {path, colour, width, alpha, head} (`head`: with a dot at its end). Nothing
 * is painted outside of `area`, but half a dot. */
export function paintCurves(pen, {left, top, width, height}, curves) {
  pen.save();
  pen.beginPath();
  pen.rect(left - HEAD, top - HEAD, width + 2 * HEAD, height + 2 * HEAD);
  pen.clip();
  pen.lineJoin = "round";
  for (const {path: {px, py}, colour, width: thick, alpha, head} of curves) {
    pen.globalAlpha = alpha;
    pen.strokeStyle = pen.fillStyle = colour;
    pen.lineWidth = thick;
    stroke(pen, px, py);
    if (head && px.length) dot(pen, px[px.length - 1], py[px.length - 1], HEAD);
  }
  pen.restore();
}

function stroke(pen, px, py) {
  const single = [];
  let on = false;
  pen.beginPath();
  for (let at = 0; at < px.length; at += 1) {
    if (Number.isNaN(px[at])) on = false;
    else if (on) pen.lineTo(px[at], py[at]);
    else {
      pen.moveTo(px[at], py[at]);
      on = true;
      if (alone(px, at)) single.push(at);
    }
  }
  pen.stroke();
  for (const at of single) dot(pen, px[at], py[at], DOT);
}

const alone = (px, at) => at + 1 === px.length || Number.isNaN(px[at + 1]);

function dot(pen, x, y, radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, TURN);
  pen.fill();
}

/** A path as the `d` of an SVG path; what stands alone is a short line, to be drawn with round ends. */
export function outline({px, py}) {
  const parts = [];
  let on = false;
  for (let at = 0; at < px.length; at += 1) {
    if (Number.isNaN(px[at])) {
      on = false;
      continue;
    }
    const place = px[at].toFixed(1) + " " + py[at].toFixed(1);
    parts.push((on ? "L" : "M") + place);
    if (!on && alone(px, at)) parts.push("h.01");
    on = true;
  }
  return parts.join("");
}
