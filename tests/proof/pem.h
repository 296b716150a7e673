/* The contracts of what reads the text of certificates.  WP shows that they
 * hold, for texts of any size, but for those of nth_text() and
 * base64_values(), which EVA does. */

/* ---- Bytes ---- */

/*@ requires is_run(s.at, s.end);
  assigns \result \from s;
  ensures \result == s.end - s.at; */
static size_t length_of(span s);

/*@ assigns \result \from c; */
static bool is_space(byte c);

/*@ requires \valid(in);
  requires is_run(in->at, in->end);
  assigns in->at;
  ensures is_run(in->at, in->end);
  ensures in->end - in->at <= \old(in->end - in->at); */
static void skip_space(span *in);

/* ---- Base64 ---- */

/*@ requires \valid(values + (0 .. 255));
  assigns values[0 .. 255]; */
static void base64_values(byte values[256]);

/*@ requires \valid_read(at + (0 .. 3));
  requires \valid_read(values + (0 .. 255));
  requires \valid(out + (0 .. 2));
  assigns out[0 .. 2]; */
static bool read_group(const byte *at, const byte values[256], byte *out);

/*@ requires \valid(in);
  requires is_run(in->at, in->end);
  requires \valid_read(values + (0 .. 255));
  requires \valid(out + (0 .. in->end - in->at - 1));
  requires \separated(in, out + (0 .. in->end - in->at - 1));
  assigns in->at, out[0 .. in->end - in->at - 1];
  ensures is_run(in->at, in->end);
  ensures \result <= \old(in->end - in->at) - (in->end - in->at); */
static size_t read_groups(span *in, const byte values[256], byte *out);

/*@ requires is_run(in.at, in.end);
  requires \valid(out + (0 .. in.end - in.at - 1));
  assigns out[0 .. in.end - in.at - 1];
  ensures \result <= in.end - in.at; */
static size_t read_base64(span in, byte *out);

/* ---- Certificates of a text ---- */

/*@ requires \valid(in);
  requires is_run(in->at, in->end);
  requires word: valid_read_string(word);
  assigns in->at;
  ensures is_run(in->at, in->end);
  ensures in->end - in->at <= \old(in->end - in->at); */
static scan_result scan_word(span *in, const char *word);

/*@ requires list == &pem_labels[0];
  requires n < PEM_LABELS;
  assigns \nothing;
  ensures valid_read_string(\result); */
static const char *nth_text(const char *list, size_t n);

/*@ requires \valid(in);
  requires is_run(in->at, in->end);
  assigns *in;
  ensures is_run(in->at, in->end);
  ensures in->end == \old(in->end);
  ensures in->end - in->at <= \old(in->end - in->at);
  ensures \result == NO_CERTIFICATE ==> in->at == \old(in->at);
  ensures NO_CERTIFICATE <= \result < PEM_LABELS; */
static pem_label scan_begin(span *in);

/*@ requires \valid(in);
  requires is_run(in->at, in->end);
  requires is_run((byte *)start, in->end);
  requires start <= in->at;
  assigns *in \from in->at, in->end;
  ensures in->end == \old(in->end);
  ensures \subset(in->at, \old(in->at) + (0 .. in->end - \old(in->at)));
  ensures in->at <= in->end;
  ensures NO_CERTIFICATE <= \result < PEM_LABELS; */
static pem_label find_certificate(span *in, const byte *start);
