# What WP is to be told in heartbeat.c: what holds whenever a loop begins anew,
# which it then proves, and a type, as it does not follow pointers to void.
/^static inline void skip_space/,/^}/ s|while|/*@ loop invariant is_run(in->at, in->end);\
  loop invariant in->end - in->at <= \\at(in->end - in->at, Pre);\
  loop assigns in->at; */ while|
/^APART static size_t read_groups/,/^}/ s|while|/*@ loop invariant is_run(text.at, text.end);\
  loop invariant text.end == \\at(in->end, Pre);\
  loop invariant size + (text.end - text.at) <= \\at(in->end - in->at, Pre);\
  loop assigns text.at, size, out[0 .. \\at(in->end - in->at, Pre) - 1]; */ while|
/^static size_t read_base64/,/^}/ s|for (skip|/*@ loop invariant is_run(in.at, in.end);\
  loop invariant in.end == \\at(in.end, Pre);\
  loop invariant digits < 4;\
  loop invariant size + (in.end - in.at) <= \\at(in.end - in.at, Pre);\
  loop assigns in.at, bits, size, digits, padding,\
    out[0 .. \\at(in.end - in.at, Pre) - 1]; */ for (skip|
/^static scan_result scan_word/,/^}/ s|for (;|/*@ loop invariant is_run(in->at, in->end);\
  loop invariant in->end - in->at <= \\at(in->end - in->at, Pre);\
  loop invariant valid_read_string(word);\
  loop assigns in->at, word; */ for (;|
/^static pem_label scan_begin/,/^}/ s|for (pem_label|/*@ loop invariant PLAIN_CERTIFICATE <= i <= PEM_LABELS;\
  loop invariant line.end - line.at <= \\at(in->end - in->at, Pre);\
  loop assigns i; */ for (pem_label|
/^static pem_label find_certificate/,/^}/ s|for (;|/*@ loop invariant is_run(in->at, in->end);\
  loop invariant in->end == \\at(in->end, Pre);\
  loop invariant start <= in->at;\
  loop invariant 0 <= in->at - \\at(in->at, Pre);\
  loop assigns *in; */ for (;|
/^static bool der_take/,/^}/ s|for (;|/*@ loop invariant is_run(rest.at, rest.end);\
  loop invariant rest.end == \\at(in->end, Pre);\
  loop invariant 0 <= digits <= rest.end - rest.at;\
  loop invariant 0 <= digits <= 3;\
  loop invariant 1 <= rest.at - \\at(in->at, Pre);\
  loop assigns rest.at, digits, size; */ for (;|
s|^static span span_of(const void|static span span_of(const byte|
