/* The proof of what reads a text from its end, or many bytes at once, on short
 * ones that begin where their array begins: what is before them is out of
 * bounds, too. */
#define HBEAT_NO_NET
#include "proof.h"

void edges(void) {
  static char text_memory[BOUND + 1];
  size_t size = Frama_C_size_t_interval(0, BOUND);
  int64_t n;

  //@ split size;
  Frama_C_make_unknown((char *)any_memory, BOUND);
  memset(text_memory, Frama_C_interval(1, 255), size);
  text_memory[size] = '\0';
  span in = span_of(any_memory, size);
  end_of_run(in, any_byte(), any_byte(), any_byte());
  has_text_before_json(in);
  is_visible_text(text_memory);
  host_length(text_memory);
  is_path_segment(text_memory);
  read_count(text_memory, &n);
  END_OF_PROOF();
}
