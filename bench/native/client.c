/* A runtime that does nothing but poll and answer, and keeps the time of each cycle.
 *
 * One cycle is GET .../invocation/next, its event read whole, POST .../response, its reply read whole, on a connection
 * that stays open. Heads are those of awslambdaric 4.2.2, each request goes out in one sendmsg. A reply that is not what
 * Lambda would have given ends the program with status 1 and one line that says so. Prints one JSON object. */

#define _GNU_SOURCE
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUFFER_BYTES (256 * 1024)
#define CHUNK_BYTES (64 * 1024)

static const char RESULT[] = "{\"statusCode\": 200, \"headers\": {\"content-type\": \"application/json\"}, \"body\": \"{\\\"ok\\\": true}\"}";

static struct {
	int port, gate, connections, timeout_s;
	long cycles, warmup;
	double rate;
	uint64_t stream_bytes, least_event_bytes;
	bool expect_traceparent;
	const char *raw;
} options = {.connections = 1, .cycles = 1000, .timeout_s = 60};

struct connection {
	int fd;
	bool has_head, has_event;
	struct body body;
	size_t filled;
	uint64_t began_ns, event_ns;
	char buffer[BUFFER_BYTES];
	char request_id[128];
};

static struct {
	long begun, done;
	uint64_t start_ns, first_ns, last_ns, event_bytes;
	uint64_t *cycle_ns, *next_ns, *result_ns;
	long traceparents, injected_events;
} seen;

static int connect_to(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(fd, (struct sockaddr *)&address, sizeof address))
		fail("cannot connect to port %d: %s", port, strerror(errno));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

static void send_all(int fd, struct iovec *parts, size_t count)
{
	while (count) {
		struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
		ssize_t sent = sendmsg(fd, &message, MSG_NOSIGNAL);

		if (sent < 0)
			fail("send failed: %s", strerror(errno));
		while (count && (size_t)sent >= parts->iov_len) {
			sent -= (ssize_t)parts->iov_len;
			parts++, count--;
		}
		if (count) {
			parts->iov_base = (char *)parts->iov_base + sent;
			parts->iov_len -= (size_t)sent;
		}
	}
}

static void pace(void)
{
	uint64_t due = seen.start_ns + (uint64_t)((double)seen.begun * 1e9 / options.rate);
	struct timespec until = {.tv_sec = (time_t)(due / 1000000000u), .tv_nsec = (long)(due % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
		;
}

static void ask_for_event(struct connection *runtime)
{
	static char head[256];
	static int size;
	struct iovec part;

	if (!size)
		size = snprintf(head, sizeof head,
				"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
				"Accept: */*\r\nUser-Agent: aws-lambda-python/3.11.7-4.2.2\r\n\r\n", options.port);
	if (options.rate > 0)
		pace();
	part = (struct iovec){head, (size_t)size};
	seen.begun++;
	runtime->began_ns = clock_ns(CLOCK_MONOTONIC);
	if (seen.begun == options.warmup + 1)
		seen.first_ns = runtime->began_ns;
	send_all(runtime->fd, &part, 1);
}

static int result_head(const struct connection *runtime, char *head, size_t room, const char *framing)
{
	return snprintf(head, room,
			"POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: */*\r\n"
			"content-type: application/json\r\nUser-Agent: aws-lambda-python/3.11.7-4.2.2\r\n%s\r\n\r\n",
			runtime->request_id, options.port, framing);
}

static void send_result(const struct connection *runtime)
{
	char head[512], framing[64];
	struct iovec parts[2];

	snprintf(framing, sizeof framing, "content-length: %zu", sizeof RESULT - 1);
	parts[0] = (struct iovec){head, (size_t)result_head(runtime, head, sizeof head, framing)};
	parts[1] = (struct iovec){(char *)RESULT, sizeof RESULT - 1};
	send_all(runtime->fd, parts, 2);
}

static void stream_result(const struct connection *runtime)
{
	static char chunk[CHUNK_BYTES];
	char head[512], size_line[32];
	uint64_t left = options.stream_bytes;
	struct iovec first = {head, (size_t)result_head(runtime, head, sizeof head, "Transfer-Encoding: chunked")};
	struct iovec last = {"0\r\n\r\n", 5};

	send_all(runtime->fd, &first, 1);
	while (left) {
		size_t size = left < CHUNK_BYTES ? (size_t)left : CHUNK_BYTES;
		struct iovec parts[3] = {{size_line, (size_t)snprintf(size_line, sizeof size_line, "%zx\r\n", size)},
					 {chunk, size}, {"\r\n", 2}};

		send_all(runtime->fd, parts, 3);
		left -= size;
	}
	send_all(runtime->fd, &last, 1);
}

static void expect_status(const char *head, const char *end, const char *status)
{
	if (end - head < 12 || strncmp(head, "HTTP/1.1 ", 9) || strncmp(head + 9, status, 3))
		fail("expected status %s, got %.*s", status, (int)(end - head < 12 ? end - head : 12), head);
}

static void read_event_head(struct connection *runtime, const char *end)
{
	size_t size;
	const char *id = head_field(runtime->buffer, end, "Lambda-Runtime-Aws-Request-Id", &size);
	size_t rest = runtime->filled - (size_t)(end - runtime->buffer);

	expect_status(runtime->buffer, end, "200");
	if (!id || size >= sizeof runtime->request_id)
		fail("an event came without a request id");
	memcpy(runtime->request_id, id, size);
	runtime->request_id[size] = 0;
	seen.injected_events += memmem(end, rest, "\"traceparent\"", 13) != NULL;
	if (head_field(runtime->buffer, end, "traceparent", &size))
		seen.traceparents++;
	else if (options.expect_traceparent)
		fail("an event came without a traceparent");
}

static void keep_times(const struct connection *runtime, uint64_t now)
{
	long place = seen.done++ - options.warmup;

	if (place < 0)
		return;
	seen.cycle_ns[place] = now - runtime->began_ns;
	seen.next_ns[place] = runtime->event_ns - runtime->began_ns;
	seen.result_ns[place] = now - runtime->event_ns;
	seen.last_ns = now;
}

static void finish_reply(struct connection *runtime)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	runtime->has_head = false;
	runtime->filled = 0;
	if (runtime->has_event) {
		runtime->has_event = false;
		keep_times(runtime, now);
		if (seen.begun < options.warmup + options.cycles)
			ask_for_event(runtime);
		return;
	}
	if (runtime->body.payload < options.least_event_bytes)
		fail("an event came with %llu bytes", (unsigned long long)runtime->body.payload);
	seen.event_bytes = runtime->body.payload;
	runtime->has_event = true;
	runtime->event_ns = now;
	options.stream_bytes ? stream_result(runtime) : send_result(runtime);
}

/* Go on with what is in the buffer: the head when it is whole, then the body, of which nothing is kept. */
static void take(struct connection *runtime)
{
	const char *body = runtime->buffer;

	if (!runtime->has_head) {
		body = head_end(runtime->buffer, runtime->filled);
		if (!body)
			return;
		if (runtime->has_event)
			expect_status(runtime->buffer, body, "202");
		else
			read_event_head(runtime, body);
		runtime->body = body_after(runtime->buffer, body);
		runtime->has_head = true;
	}
	size_t size = runtime->filled - (size_t)(body - runtime->buffer);

	if (body_take(&runtime->body, body, size) < size)
		fail("more bytes came than the reply has");
	runtime->filled = 0;
	if (runtime->body.stage == COMPLETE)
		finish_reply(runtime);
}

static void receive(struct connection *runtime)
{
	ssize_t size = recv(runtime->fd, runtime->buffer + runtime->filled, BUFFER_BYTES - runtime->filled, 0);

	if (size <= 0)
		fail("the connection ended after %ld cycles: %s", seen.done, size ? strerror(errno) : "closed");
	runtime->filled += (size_t)size;
	take(runtime);
}

static struct connection *open_connection(void)
{
	struct connection *runtime = calloc(1, sizeof *runtime);

	runtime->fd = connect_to(options.port);
	return runtime;
}

static void run_alone(void)
{
	struct connection *runtime = open_connection();

	seen.start_ns = clock_ns(CLOCK_MONOTONIC);
	ask_for_event(runtime);
	while (seen.done < options.warmup + options.cycles)
		receive(runtime);
}

static void run_together(void)
{
	int poller = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event ready[64];

	for (int i = 0; i < options.connections; i++) {
		struct connection *runtime = open_connection();
		struct epoll_event interest = {.events = EPOLLIN, .data.ptr = runtime};

		epoll_ctl(poller, EPOLL_CTL_ADD, runtime->fd, &interest);
		ask_for_event(runtime);
	}
	while (seen.done < options.warmup + options.cycles) {
		int count = epoll_wait(poller, ready, 64, -1);

		for (int i = 0; i < count; i++)
			receive(ready[i].data.ptr);
	}
}

/* Wait until the extension has registered, as Lambda does before it starts a runtime. */
static void wait_at_gate(void)
{
	static const char ask[] = "GET /control/registered HTTP/1.1\r\nHost: upstream\r\n\r\n";
	int fd = connect_to(options.gate);
	struct iovec part = {(char *)ask, sizeof ask - 1};
	char reply[512];

	send_all(fd, &part, 1);
	if (recv(fd, reply, sizeof reply, 0) <= 0)
		fail("the upstream closed the gate");
	close(fd);
}

static int by_size(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a < b ? -1 : a > b;
}

static uint64_t quantile(const uint64_t *sorted, double part)
{
	long place = (long)((double)options.cycles * part);

	return sorted[place < options.cycles ? place : options.cycles - 1];
}

static void write_raw(void)
{
	FILE *out = fopen(options.raw, "we");

	if (!out)
		fail("cannot write %s: %s", options.raw, strerror(errno));
	for (long i = 0; i < options.cycles; i++)
		fprintf(out, "%llu\n", (unsigned long long)seen.cycle_ns[i]);
	fclose(out);
}

static double mean(const uint64_t *values)
{
	double sum = 0;

	for (long i = 0; i < options.cycles; i++)
		sum += (double)values[i];
	return sum / (double)options.cycles;
}

static void print_figures(void)
{
	double elapsed_s = (double)(seen.last_ns - seen.first_ns) / 1e9;

	if (options.raw)
		write_raw();
	qsort(seen.cycle_ns, (size_t)options.cycles, sizeof(uint64_t), by_size);
	qsort(seen.next_ns, (size_t)options.cycles, sizeof(uint64_t), by_size);
	qsort(seen.result_ns, (size_t)options.cycles, sizeof(uint64_t), by_size);
	printf("{\"cycles\": %ld, \"warmup\": %ld, \"p50_ns\": %llu, \"p99_ns\": %llu, \"mean_ns\": %.0f, ",
	       options.cycles, options.warmup, (unsigned long long)quantile(seen.cycle_ns, 0.5),
	       (unsigned long long)quantile(seen.cycle_ns, 0.99), mean(seen.cycle_ns));
	printf("\"next_p50_ns\": %llu, \"result_p50_ns\": %llu, \"cycles_per_s\": %.1f, \"elapsed_s\": %.6f, ",
	       (unsigned long long)quantile(seen.next_ns, 0.5), (unsigned long long)quantile(seen.result_ns, 0.5),
	       (double)options.cycles / elapsed_s, elapsed_s);
	printf("\"traceparents\": %ld, \"injected_events\": %ld, \"event_bytes\": %llu, \"finished_ns\": %llu}\n",
	       seen.traceparents, seen.injected_events, (unsigned long long)seen.event_bytes,
	       (unsigned long long)seen.last_ns);
}

static void give_up(int signal)
{
	static const char text[] = "no end within the time given (--timeout)\n";

	(void)signal;
	if (write(2, text, sizeof text - 1))
		_exit(1);
	_exit(1);
}

static void read_options(int count, char **values)
{
	static const struct option names[] = {
		{"port", 1, 0, 'p'}, {"gate", 1, 0, 'g'}, {"cycles", 1, 0, 'n'}, {"warmup", 1, 0, 'w'}, {"rate", 1, 0, 'r'},
		{"connections", 1, 0, 'c'}, {"stream-bytes", 1, 0, 's'}, {"least-event-bytes", 1, 0, 'l'},
		{"expect-traceparent", 0, 0, 't'}, {"raw", 1, 0, 'o'}, {"timeout", 1, 0, 'x'}, {0, 0, 0, 0}};
	int name;

	while ((name = getopt_long(count, values, "", names, NULL)) != -1) {
		switch (name) {
		case 'p': options.port = atoi(optarg); break;
		case 'g': options.gate = atoi(optarg); break;
		case 'n': options.cycles = atol(optarg); break;
		case 'w': options.warmup = atol(optarg); break;
		case 'r': options.rate = atof(optarg); break;
		case 'c': options.connections = atoi(optarg); break;
		case 's': options.stream_bytes = strtoull(optarg, NULL, 10); break;
		case 'l': options.least_event_bytes = strtoull(optarg, NULL, 10); break;
		case 't': options.expect_traceparent = true; break;
		case 'o': options.raw = optarg; break;
		case 'x': options.timeout_s = atoi(optarg); break;
		default: exit(2);
		}
	}
	if (!options.port || options.cycles < 1 || (options.rate > 0 && options.connections > 1))
		fail("needs --port and --cycles; --rate goes with one connection");
}

int main(int count, char **values)
{
	read_options(count, values);
	signal(SIGALRM, give_up);
	alarm((unsigned)options.timeout_s);
	seen.cycle_ns = calloc((size_t)options.cycles, sizeof(uint64_t));
	seen.next_ns = calloc((size_t)options.cycles, sizeof(uint64_t));
	seen.result_ns = calloc((size_t)options.cycles, sizeof(uint64_t));
	if (options.gate)
		wait_at_gate();
	options.connections > 1 ? run_together() : run_alone();
	print_figures();
	return 0;
}
