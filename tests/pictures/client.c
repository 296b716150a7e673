/*
 * Draws the client's states, and which leads to which, as they were seen: the
 * scripts that are the seeds of tests/fuzz/client.c are played, each in its own
 * world, and at the end of every function of the library's the client's state
 * is looked at.  Nothing depends on the machine or on its clock.
 *
 * usage: client FOLDER     prints TAP; draws client.svg there
 *
 * Not drawn is what is true of every state: an error, the deadline and whoever
 * calls hbeat_start() or hbeat_close() end an exchange.  A state that only says
 * what the next step does, and is left before there is one, was passed over.
 *
 * One arrow that can be is missing, from HANDSHAKE_OUT to OPEN: a new
 * connection that takes no byte until its time is over, which that world does
 * not have.
 */
#include "../fuzz/client.c"
#include "draw.h"

#include <dirent.h>

#define SEEDS "tests/fuzz/seeds/client"
#define UNSEEN __attribute__((no_instrument_function))

enum { STATES = COUNT(states), SCRIPT_MAX = 1 << 16 };

/* ---- What is seen -------------------------------------------------------- */

static struct {
  uintptr_t call;     /* the one of the four calls under way; or 0 */
  client_state state; /* when it was last looked at */
  client_state came_from;
  bool pending; /* that arrow, from there to the state, is not kept yet */
  bool arrows[STATES][STATES];
} seen;

/* Whether a state does nothing in the step that enters it. */
UNSEEN static bool is_of_the_next_step(client_state s) {
  return states[s].events == 0 && states[s].phase != SPEAKING_TLS;
}

/* What the caller ends, or an error, is of no interest. */
UNSEEN static bool is_drawn(client_state from, client_state to) {
  if (seen.call != (uintptr_t)hbeat_step) return from <= IDLE;
  return to != IDLE || host.client->outcome.error == HBEAT_OK;
}

UNSEEN static void keep_arrow(void) {
  if (is_drawn(seen.came_from, seen.state))
    seen.arrows[seen.came_from][seen.state] = true;
  seen.pending = false;
}

UNSEEN static void look(void) {
  client_state now = (client_state)host.client->state;

  if (now == seen.state) return;
  if (!seen.pending) seen.came_from = seen.state;
  seen.state = now;
  seen.pending = true;
  if (!is_of_the_next_step(now)) keep_arrow();
}

UNSEEN static bool is_call(uintptr_t function) {
  return function == (uintptr_t)hbeat_init ||
      function == (uintptr_t)hbeat_start || function == (uintptr_t)hbeat_step ||
      function == (uintptr_t)hbeat_close;
}

/* The compiler has these called, by -finstrument-functions. */
UNSEEN void __cyg_profile_func_enter(void *function, void *caller);
UNSEEN void __cyg_profile_func_exit(void *function, void *caller);

UNSEEN void __cyg_profile_func_enter(void *function, void *caller) {
  (void)caller;
  if (!is_call((uintptr_t)function)) return;
  seen.call = (uintptr_t)function;
  seen.state = (client_state)host.client->state;
}

UNSEEN void __cyg_profile_func_exit(void *function, void *caller) {
  (void)caller;
  if (seen.call == 0) return;
  look();
  if ((uintptr_t)function != seen.call) return;
  if (seen.pending) keep_arrow();
  seen.call = 0;
}

/* ---- The drawing --------------------------------------------------------- */

static const char *const names[STATES] = {
#define NAMED(state) [state] = #state
    NAMED(UNFIT),
    NAMED(IDLE),
    NAMED(LOOK),
    NAMED(LOOKUP),
    NAMED(LOOKUP_UDP),
    NAMED(LOOKUP_TCP_OUT),
    NAMED(LOOKUP_TCP_IN),
    NAMED(LOOKUP_LATE),
    NAMED(OPEN),
    NAMED(CONNECTING),
    NAMED(TUNNEL),
    NAMED(HANDSHAKE_OUT),
    NAMED(HANDSHAKE_IN),
    NAMED(SENDING),
    NAMED(RECEIVING),
    NAMED(LAST_WORDS),
};

/* What the library's own table says of a state. */
static const char *describe(client_state s) {
  static const char *const phases[] = {
      [AT_REST] = "at rest",
      [FINDING_ADDRESSES] = "finding addresses",
      [GETTING_CONNECTED] = "getting connected",
      [SPEAKING_TLS] = "speaking TLS",
  };
  static char texts[STATES][64];
  const char *waits = "";

  if (states[s].events == POLLIN) waits = ", waits to read";
  if (states[s].events == POLLOUT) waits = ", waits to write";
  snprintf(texts[s], sizeof texts[s], "%s%s", phases[states[s].phase], waits);
  return texts[s];
}

static bool draw_to(const char *folder) {
  static box boxes[STATES];
  static arrow arrows[STATES * STATES];
  picture p = {.title = "The client's states",
      .note = "An error, the deadline and hbeat_start() lead from every state"
              "\nto IDLE, and hbeat_close() to UNFIT.\n",
      .box_width = 350,
      .boxes = boxes,
      .box_count = STATES,
      .arrows = arrows};
  char path[512];

  for (client_state s = UNFIT; s < STATES; s++)
    boxes[s] = (box){names[s], describe(s)};
  for (int from = 0; from < STATES; from++)
    for (int to = 0; to < STATES; to++)
      if (seen.arrows[from][to])
        arrows[p.arrow_count++] = (arrow){from, to, ""};
  snprintf(path, sizeof path, "%s/client.svg", folder);
  FILE *out = fopen(path, "w");
  if (!out) return false;
  draw_picture(&p, out);
  return fclose(out) == 0;
}

/* ---- The scripts --------------------------------------------------------- */

static int play_scripts(void) {
  static byte script[SCRIPT_MAX];
  DIR *folder = opendir(SEEDS);
  struct dirent *entry;
  char path[512];
  int played = 0;

  EXPECT(folder);
  while ((entry = readdir(folder))) {
    if (entry->d_name[0] == '.') continue;
    snprintf(path, sizeof path, SEEDS "/%s", entry->d_name);
    FILE *file = fopen(path, "rb");
    EXPECT(file);
    size_t size = fread(script, 1, sizeof script, file);
    fclose(file);
    LLVMFuzzerTestOneInput(script, size);
    played++;
  }
  closedir(folder);
  return played;
}

/* A state that no script leads to would be drawn as one that nothing does. */
static bool all_are_reached(void) {
  for (int to = 0; to < STATES; to++) {
    bool reached = false;
    for (int from = 0; from < STATES; from++)
      reached = reached || seen.arrows[from][to];
    if (!reached) printf("# not reached: %s\n", names[to]);
    if (!reached) return false;
  }
  return true;
}

int main(int argc, char **argv) {
  if (argc != 2) return 2;
  printf("# note %d scripts\n", play_scripts());
  report(all_are_reached(), "every state is reached");
  report(draw_to(argv[1]), "the client's states are drawn");
  return end_reports();
}
