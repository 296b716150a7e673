/*
 * Draws states and the arrows between them as SVG.  The states stand one below
 * the other.  An arrow to the next one goes straight there; any other goes by a
 * lane: those that lead down are on the right, those that lead up on the left.
 * All that lead to the same state, with the same words, share a lane, which
 * each joins at a dot.
 *
 * Where everything stands follows from the states and the arrows alone.
 */
#ifndef DRAW_H
#define DRAW_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
  BOXES_MAX = 20,
  LANES_MAX = 40,
  GAP = 16,        /* pixels between two boxes */
  LANE_GAP = 13,   /* ... between two lanes */
  PORT_GAP = 16,   /* ... between two arrows at a box */
  BOX_HEIGHT = 30, /* ... at least */
  TOP = 10
};

typedef struct box {
  const char *name;
  const char *text;
} box;

typedef struct arrow {
  int from;
  int to;
  const char *words; /* ""; or why: arrows of other words are another's */
} arrow;

typedef struct picture {
  const char *title;
  const char *note; /* below; lines end in LF */
  int box_width;
  int words_width; /* room for the words beside the boxes, on each side */
  const box *boxes;
  int box_count;
  const arrow *arrows;
  int arrow_count;
} picture;

/* Arrows to the same state, with the same words, on one side. */
typedef struct lane {
  int to;
  const char *words;
  bool up;              /* on the left */
  bool from[BOXES_MAX]; /* the boxes that they come from */
  int first, last;      /* the uppermost and the lowest of all boxes */
  int place;            /* counted from the boxes, from 0 on */
} lane;

typedef struct drawing {
  const picture *p;
  lane lanes[LANES_MAX];
  int lane_count;
  int places[2];    /* of lanes, on the right and on the left */
  int y[BOXES_MAX]; /* the upper edges */
  int height[BOXES_MAX];
  int left; /* the left edge of the boxes */
  FILE *out;
} drawing;

static inline bool is_straight(const arrow *a) {
  return a->to == a->from + 1 && a->words[0] == '\0';
}

/* ---- Lanes --------------------------------------------------------------- */

static inline lane *find_lane(drawing *d, const arrow *a) {
  bool up = a->to < a->from;
  lane *l = d->lanes;

  for (; l < d->lanes + d->lane_count; l++)
    if (l->to == a->to && l->up == up && strcmp(l->words, a->words) == 0)
      return l;
  d->lane_count++;
  *l = (lane){.to = a->to, .words = a->words, .up = up, .place = -1};
  l->first = l->last = a->to;
  return l;
}

static inline void make_lanes(drawing *d) {
  for (int i = 0; i < d->p->arrow_count; i++) {
    const arrow *a = &d->p->arrows[i];
    if (is_straight(a)) continue;
    lane *l = find_lane(d, a);
    l->from[a->from] = true;
    if (a->from < l->first) l->first = a->from;
    if (a->from > l->last) l->last = a->from;
  }
}

/* Whether a lane is free at a place: no other one there passes its boxes. */
static inline bool fits(const drawing *d, const lane *l, int place) {
  for (int i = 0; i < d->lane_count; i++) {
    const lane *other = &d->lanes[i];
    if (other->place != place || other->up != l->up) continue;
    if (other->first <= l->last && l->first <= other->last) return false;
  }
  return true;
}

/* The short ones stand next to the boxes. */
static inline void place_lanes(drawing *d) {
  for (int length = 0; length < BOXES_MAX; length++)
    for (int i = 0; i < d->lane_count; i++) {
      lane *l = &d->lanes[i];
      int place = 0;
      if (l->last - l->first != length) continue;
      while (!fits(d, l, place)) place++;
      l->place = place;
      if (place >= d->places[l->up]) d->places[l->up] = place + 1;
    }
}

/* ---- Where everything stands --------------------------------------------- */

/* Where an arrow stands among those that meet a box on the same side: so that
 * none crosses another one there. */
static inline int rank(const lane *l, bool leaves) {
  return leaves == l->up ? l->place : 2 * LANES_MAX - l->place;
}

/* How many arrows meet a box on one side, above this rank. */
static inline int ports_above(
    const drawing *d, int at, bool up, int this_rank) {
  int count = 0;

  for (int i = 0; i < d->lane_count; i++) {
    const lane *l = &d->lanes[i];
    if (l->up != up) continue;
    if (l->from[at] && rank(l, true) < this_rank) count++;
    if (l->to == at && rank(l, false) < this_rank) count++;
  }
  return count;
}

static inline int ports(const drawing *d, int at, bool up) {
  return ports_above(d, at, up, 3 * LANES_MAX);
}

static inline void stack_boxes(drawing *d) {
  int y = TOP;

  for (int i = 0; i < d->p->box_count; i++) {
    d->y[i] = y;
    int right = ports(d, i, false);
    int left = ports(d, i, true);
    d->height[i] = (right > left ? right : left) * PORT_GAP + 8;
    if (d->height[i] < BOX_HEIGHT) d->height[i] = BOX_HEIGHT;
    y += d->height[i] + GAP;
  }
  d->left = 10 + d->p->words_width + (d->places[1] + 1) * LANE_GAP;
}

/* Where an arrow meets its box. */
static inline int port_y(const drawing *d, int at, const lane *l, bool leaves) {
  int first = (d->height[at] - (ports(d, at, l->up) - 1) * PORT_GAP) / 2;

  return d->y[at] + first +
      ports_above(d, at, l->up, rank(l, leaves)) * PORT_GAP;
}

static inline int edge_x(const drawing *d, bool up) {
  return up ? d->left : d->left + d->p->box_width;
}

static inline int lane_x(const drawing *d, const lane *l) {
  int away = d->p->words_width + (l->place + 1) * LANE_GAP;

  return edge_x(d, l->up) + (l->up ? -away : away);
}

/* ---- The SVG ------------------------------------------------------------- */

static inline void put_label(const drawing *d, int x, int y, const char *style,
    const char *text, int size) {
  fprintf(d->out, "<text x=\"%d\" y=\"%d\" class=\"%s\">%.*s</text>\n", x, y,
      style, size, text);
}

static inline void draw_box(const drawing *d, int i) {
  const box *b = &d->p->boxes[i];
  int middle = d->y[i] + d->height[i] / 2 + 4;

  fprintf(d->out,
      "<rect x=\"%d\" y=\"%d\" width=\"%d\" height=\"%d\" rx=\"4\"/>\n",
      d->left, d->y[i], d->p->box_width, d->height[i]);
  put_label(d, d->left + 10, middle, "name", b->name, (int)strlen(b->name));
  put_label(d, d->left + d->p->box_width - 10, middle, "end", b->text,
      (int)strlen(b->text));
}

/* The head of an arrow that points to (x, y), `back` pixels along x from where
 * it comes. */
static inline void draw_head(const drawing *d, int x, int y, int back) {
  fprintf(d->out, "<path class=\"head\" d=\"M%d %dl%d -4v8z\"/>\n", x, y, back);
}

static inline void draw_straight(const drawing *d, const arrow *a) {
  int x = d->left + d->p->box_width / 2;
  int y = d->y[a->to];

  fprintf(d->out, "<g class=\"down\"><path d=\"M%d %dv%d\"/>\n", x, y - GAP,
      GAP - 6);
  fprintf(d->out, "<path class=\"head\" d=\"M%d %dl-4 -7h8z\"/></g>\n", x, y);
}

static inline void draw_lane(const drawing *d, const lane *l) {
  int x = lane_x(d, l);
  int edge = edge_x(d, l->up);
  int end = port_y(d, l->to, l, false);
  int back = l->up ? -7 : 7;

  fprintf(d->out, "<g class=\"%s\">\n", l->up ? "up" : "down");
  for (int i = 0; i < d->p->box_count; i++) {
    if (!l->from[i]) continue;
    int y = port_y(d, i, l, true);
    fprintf(
        d->out, "<path d=\"M%d %dH%dV%dH%d\"/>", edge, y, x, end, edge + back);
    fprintf(d->out, "<circle cx=\"%d\" cy=\"%d\" r=\"2.5\"/>\n", x, y);
    put_label(d, edge + back, y - 3, l->up ? "words end" : "words", l->words,
        (int)strlen(l->words));
  }
  draw_head(d, edge, end, back);
  fprintf(d->out, "</g>\n");
}

static inline int draw_note(const drawing *d, int y) {
  const char *at = d->p->note;

  while (*at != '\0') {
    int size = (int)strcspn(at, "\n");
    put_label(d, 10, y, "begin", at, size);
    at += size + (at[size] == '\n');
    y += 16;
  }
  return y;
}

/* Has no ground of its own, and colours that a light or dark one suits. */
static inline void draw_picture(const picture *p, FILE *out) {
  drawing d = {.p = p, .out = out};
  int last = p->box_count - 1;

  make_lanes(&d);
  place_lanes(&d);
  stack_boxes(&d);
  int width =
      edge_x(&d, false) + p->words_width + (d.places[0] + 1) * LANE_GAP + 10;
  int bottom = d.y[last] + d.height[last] + 24;
  int lines = 0;
  for (const char *at = p->note; *at != '\0'; at++) lines += *at == '\n';
  fprintf(out,
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" "
      "height=\"%d\" font-family=\"sans-serif\" font-size=\"12\">\n"
      "<title>%s</title>\n"
      "<style>text{fill:#7d8590}.name{font-weight:bold}"
      ".end{text-anchor:end}.words{font-size:11px}rect{fill:none;stroke:#"
      "7d8590}"
      "path{fill:none;stroke-width:1.2}.head,circle{stroke:none}"
      ".down path{stroke:#2f81f7}.up path{stroke:#e5534b}"
      ".down .head,.down circle{fill:#2f81f7;stroke:none}"
      ".up .head,.up circle{fill:#e5534b;stroke:none}</style>\n",
      width, bottom + lines * 16, p->title);
  for (int i = 0; i < p->box_count; i++) draw_box(&d, i);
  for (int i = 0; i < p->arrow_count; i++)
    if (is_straight(&p->arrows[i])) draw_straight(&d, &p->arrows[i]);
  for (int i = 0; i < d.lane_count; i++) draw_lane(&d, &d.lanes[i]);
  draw_note(&d, bottom);
  fprintf(out, "</svg>\n");
}

/* ---- What is reported, as TAP ------------------------------------------- */

static int tests, failures;

static void report(bool ok, const char *what) {
  tests++;
  if (!ok) failures++;
  printf("%s %d - %s\n", ok ? "ok" : "not ok", tests, what);
}

/* Returns the exit status. */
static int end_reports(void) {
  printf("1..%d\n", tests);
  return failures > 0;
}

#endif
