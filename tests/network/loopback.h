/*
 * What the servers of these tests are made of: sockets on loopback, and
 * processes of their own, which end with the test's if not before.
 *
 * Whatever goes wrong in the test's process fails the test, unless it says
 * otherwise here.  A byte that cannot be sent is no error anywhere: clients
 * may leave.
 */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* ---- Processes -------------------------------------------------------- */

/*
 * Starts a process, and says whether this is it.  In the test's, *server is
 * its number from now on, until kill_server() has ended it and made that 0.
 */
bool fork_server(pid_t *server);
void kill_server(pid_t *server);

/* Memory of zeros, which processes that are started later have in common. */
void *share_memory(size_t size);

/* Sleeps by the machine's clock. */
void nap_us(int64_t us);
void nap_ms(int64_t ms);

/* ---- Sockets ---------------------------------------------------------- */

/* An address, of either family, and a port, as sockets want them. */
union socket_address {
  struct sockaddr any;
  struct sockaddr_in v4;
  struct sockaddr_in6 v6;
};

/* Makes it of a numeric address; returns its size. */
socklen_t read_address(
    union socket_address *a, const char *numeric, uint16_t port);
socklen_t address_size(const union socket_address *a);
uint16_t address_port(const union socket_address *a);

/*
 * A socket of this type at this address; one of SOCK_STREAM listens, with a
 * queue of so many.  Port 0: any that is free.  -1, and errno, where the
 * machine has no such address, or somebody else has the port.
 */
int bind_socket(int type, const char *numeric, uint16_t port, int queue);

/* The same for a server of TCP at 127.0.0.1, and any port. */
int listen_on_loopback(uint16_t *port);

/* Whether this machine has ::1; says so where it has not. */
bool has_ipv6(void);

/* The port of a socket of its own end. */
uint16_t port_of(int fd);

/* A connection to that port of 127.0.0.1; -1: nobody takes it. */
int connect_to(uint16_t port);

/* The next client's connection, on which nothing waits to be sent with more. */
int accept_client(int listener);

/* The close() of a connection will be RST. */
void reset_on_close(int fd);

/* Sends the text again and again, a byte a second, until the client leaves. */
void drip(int fd, const char *text);

/* A port that swallows all that is sent to it, as a firewall does. */
struct black_hole {
  int listener;
  int queue[4]; /* those that wait for ever to be accepted */
};

/* Opens one; port 0: any that is free. */
void open_black_hole(
    struct black_hole *hole, const char *numeric, uint16_t port);

/* Makes one of a socket that listens with a queue of 0, and that it owns. */
void make_black_hole(struct black_hole *hole, int listener);
void close_black_hole(struct black_hole *hole);

#endif
