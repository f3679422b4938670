/* Lambda's side of the benchmarks: a Runtime API that always has an event, an Extensions API whose next event is SHUTDOWN,
 * and, with --otlp, a place where spans arrive. One thread, epoll; prints its port, then serves until it is killed.
 *
 * GET /2018-06-01/runtime/invocation/next    the event, at once; Content-Length up to 2 KB and chunked above, as Lambda does
 * POST /2020-01-01/extension/register        200 and an identifier; the time of its arrival is kept
 * GET /2020-01-01/extension/event/next       held open until SIGUSR1 or GET /control/shutdown
 * GET /control/registered                    held open until an extension has registered
 * GET /control/stats                         what has been seen, as JSON
 * POST /v1/traces                            200; the body is appended to the file of --otlp, after its length (8 bytes)
 * POST /v1/...                               200; either of them --otlp-delay-ms after the request was whole
 * any other POST or PUT                      202, as for a result */

#define _GNU_SOURCE
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <unistd.h>

#define BUFFER_BYTES (256 * 1024)
#define LAMBDA_CHUNKS_ABOVE 2048
#define SHUTDOWN_BUDGET_MS 2000

static const char EVENT[] =
	"{\"version\":\"2.0\",\"routeKey\":\"GET /orders/{id}\",\"rawPath\":\"/orders/4711\",\"rawQueryString\":\"full=true\","
	"\"headers\":{\"accept\":\"application/json\",\"accept-encoding\":\"gzip, br\",\"content-length\":\"0\","
	"\"host\":\"a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com\","
	"\"traceparent\":\"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\","
	"\"user-agent\":\"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101\","
	"\"x-amzn-trace-id\":\"Root=1-67d448e8-3ae320be0e2cdf2f53ccdaba\",\"x-forwarded-for\":\"203.0.113.7\","
	"\"x-forwarded-port\":\"443\",\"x-forwarded-proto\":\"https\"},\"queryStringParameters\":{\"full\":\"true\"},"
	"\"cookies\":[\"session=9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822\"],\"requestContext\":{\"accountId\":\"123456789012\",\"apiId\":\"a1b2c3d4e5\","
	"\"domainName\":\"a1b2c3d4e5.execute-api.eu-central-1.amazonaws.com\",\"domainPrefix\":\"a1b2c3d4e5\","
	"\"http\":{\"method\":\"GET\",\"path\":\"/orders/4711\",\"protocol\":\"HTTP/1.1\",\"sourceIp\":\"203.0.113.7\"},"
	"\"requestId\":\"JKJaXmPLvHcESHA=\",\"stage\":\"$default\",\"timeEpoch\":1795300000000},"
	"\"pathParameters\":{\"id\":\"4711\"},\"isBase64Encoded\":false}";
static const char ACCEPTED[] = "HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\n%sContent-Length: 16\r\n\r\n"
			       "{\"status\":\"OK\"}\n";
static const char END_OF_CHUNKS[] = "\r\n0\r\n\r\n";

struct connection {
	int fd;
	bool has_head, waits_for_shutdown, waits_for_register, keeps_body;
	struct body body;
	size_t filled, kept, kept_room;
	char *kept_body;
	uint64_t due_ns;
	struct iovec out[3];
	size_t out_count;
	char head[1024];
	char buffer[BUFFER_BYTES];
};

static struct {
	long events, results;
	uint64_t result_bytes, registered_ns, first_poll_ns, first_result_ns, extension_poll_ns, shutdown_ns, otlp_posts;
	bool shutting_down;
} seen;

static const char *event = EVENT;
static size_t event_bytes = sizeof EVENT - 1;
static FILE *otlp;
static uint64_t otlp_delay_ns;
static int poller, alarm_clock;
static struct connection *all[1024];

static uint64_t now_ms(void)
{
	return clock_ns(CLOCK_REALTIME) / 1000000u;
}

static const char *date_line(void)
{
	static char line[64];
	static time_t made_at;
	time_t now = time(NULL);
	struct tm parts;

	if (now != made_at) {
		made_at = now;
		strftime(line, sizeof line, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&now, &parts));
	}
	return line;
}

static uint64_t random_bits(void)
{
	static uint64_t state;

	if (!state)
		state = clock_ns(CLOCK_REALTIME) | 1;
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void watch(struct connection *peer, uint32_t interest)
{
	struct epoll_event wanted = {.events = interest, .data.ptr = peer};

	epoll_ctl(poller, EPOLL_CTL_MOD, peer->fd, &wanted);
}

static void drop(struct connection *peer)
{
	close(peer->fd);
	all[peer->fd] = NULL;
	free(peer->kept_body);
	free(peer);
}

static void send_rest(struct connection *peer)
{
	struct iovec *part = peer->out;

	while (peer->out_count) {
		struct msghdr message = {.msg_iov = part, .msg_iovlen = peer->out_count};
		ssize_t sent = sendmsg(peer->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent < 0)
			break;
		while (peer->out_count && (size_t)sent >= part->iov_len) {
			sent -= (ssize_t)part->iov_len;
			part++, peer->out_count--;
		}
		if (peer->out_count) {
			part->iov_base = (char *)part->iov_base + sent;
			part->iov_len -= (size_t)sent;
		}
	}
	memmove(peer->out, part, peer->out_count * sizeof *part);
}

/* Send what stands in `out`; the rest of a large event goes when the socket takes more, and no request is read till then. */
static void reply(struct connection *peer, size_t parts)
{
	peer->out_count = parts;
	send_rest(peer);
	if (peer->out_count)
		watch(peer, EPOLLOUT);
}

static void reply_text(struct connection *peer, const char *status, const char *fields, const char *text)
{
	int size = snprintf(peer->head, sizeof peer->head,
			    "HTTP/1.1 %s\r\nContent-Type: application/json\r\n%s%sContent-Length: %zu\r\n\r\n%s", status, fields,
			    date_line(), strlen(text), text);

	peer->out[0] = (struct iovec){peer->head, (size_t)size};
	reply(peer, 1);
}

static void accept_result(struct connection *peer)
{
	peer->out[0] = (struct iovec){peer->head, (size_t)snprintf(peer->head, sizeof peer->head, ACCEPTED, date_line())};
	reply(peer, 1);
}

static int event_head(char *head, size_t room)
{
	uint64_t high = random_bits(), low = random_bits();
	uint64_t now = now_ms();

	return snprintf(head, room,
			"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
			"Lambda-Runtime-Aws-Request-Id: %08x-%04x-4%03x-a%03x-%012llx\r\nLambda-Runtime-Deadline-Ms: %llu\r\n"
			"Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-central-1:123456789012:function:bench\r\n"
			"Lambda-Runtime-Trace-Id: Root=1-%08llx-%08x%016llx;Lineage=1:73f724a8:0\r\n%s",
			(unsigned)(high >> 32), (unsigned)(high >> 16) & 0xffff, (unsigned)high & 0xfff, (unsigned)(low >> 48) & 0xfff,
			(unsigned long long)low & 0xffffffffffff, (unsigned long long)now + 30000, (unsigned long long)now / 1000,
			(unsigned)high, (unsigned long long)low, date_line());
}

static void deliver_event(struct connection *peer)
{
	size_t size = (size_t)event_head(peer->head, sizeof peer->head), room = sizeof peer->head - size;
	bool chunked = event_bytes > LAMBDA_CHUNKS_ABOVE;

	seen.events++;
	if (!seen.first_poll_ns)
		seen.first_poll_ns = clock_ns(CLOCK_MONOTONIC);
	if (chunked)
		size += (size_t)snprintf(peer->head + size, room, "Transfer-Encoding: chunked\r\n\r\n%zx\r\n", event_bytes);
	else
		size += (size_t)snprintf(peer->head + size, room, "Content-Length: %zu\r\n\r\n", event_bytes);
	peer->out[0] = (struct iovec){peer->head, size};
	peer->out[1] = (struct iovec){(char *)event, event_bytes};
	peer->out[2] = (struct iovec){(char *)END_OF_CHUNKS, sizeof END_OF_CHUNKS - 1};
	reply(peer, chunked ? 3 : 2);
}

static void send_shutdown(struct connection *peer)
{
	char text[128];

	snprintf(text, sizeof text, "{\"eventType\":\"SHUTDOWN\",\"deadlineMs\":%llu,\"shutdownReason\":\"spindown\"}",
		 (unsigned long long)now_ms() + SHUTDOWN_BUDGET_MS);
	peer->waits_for_shutdown = false;
	reply_text(peer, "200 OK", "Lambda-Extension-Event-Identifier: 0f3f5a80-6c1e-4f49-9f6b-2f7d3c1c9b52\r\n", text);
}

static void shut_down(void)
{
	seen.shutting_down = true;
	seen.shutdown_ns = clock_ns(CLOCK_MONOTONIC);
	for (size_t fd = 0; fd < sizeof all / sizeof *all; fd++)
		if (all[fd] && all[fd]->waits_for_shutdown)
			send_shutdown(all[fd]);
}

static void open_gate(struct connection *peer)
{
	peer->waits_for_register = false;
	reply_text(peer, "200 OK", "", "{}");
}

static void register_extension(struct connection *peer)
{
	reply_text(peer, "200 OK", "Lambda-Extension-Identifier: 3b1f2c9e-6c0c-4c0a-b0f5-5a9d2b7e4c11\r\n",
		   "{\"functionName\":\"bench\",\"functionVersion\":\"$LATEST\",\"handler\":\"app.handler\","
		   "\"accountId\":\"123456789012\"}");
	for (size_t fd = 0; fd < sizeof all / sizeof *all; fd++)
		if (all[fd] && all[fd]->waits_for_register)
			open_gate(all[fd]);
}

static void report(struct connection *peer)
{
	char text[640];
	int gates = 0;

	for (size_t fd = 0; fd < sizeof all / sizeof *all; fd++)
		gates += all[fd] && all[fd]->waits_for_register;
	snprintf(text, sizeof text,
		 "{\"events\":%ld,\"results\":%ld,\"result_bytes\":%llu,\"registered_ns\":%llu,\"first_poll_ns\":%llu,"
		 "\"first_result_ns\":%llu,\"extension_poll_ns\":%llu,\"shutdown_ns\":%llu,\"otlp_posts\":%llu,\"gates\":%d}",
		 seen.events, seen.results, (unsigned long long)seen.result_bytes, (unsigned long long)seen.registered_ns,
		 (unsigned long long)seen.first_poll_ns, (unsigned long long)seen.first_result_ns,
		 (unsigned long long)seen.extension_poll_ns, (unsigned long long)seen.shutdown_ns,
		 (unsigned long long)seen.otlp_posts, gates);
	reply_text(peer, "200 OK", "", text);
}

static bool asks(const struct connection *peer, const char *line)
{
	return !strncmp(peer->buffer, line, strlen(line));
}

static void answer_otlp(struct connection *peer)
{
	peer->due_ns = 0;
	peer->out[0].iov_base = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
	peer->out[0].iov_len = strlen(peer->out[0].iov_base);
	reply(peer, 1);
}

/* Ring when the first delayed answer is due; with none due, not at all. */
static void set_alarm(void)
{
	uint64_t first = 0;

	for (size_t fd = 0; fd < sizeof all / sizeof *all; fd++)
		if (all[fd] && all[fd]->due_ns && (!first || all[fd]->due_ns < first))
			first = all[fd]->due_ns;
	struct itimerspec due = {.it_value = {(time_t)(first / 1000000000u), (long)(first % 1000000000u)}};

	timerfd_settime(alarm_clock, TFD_TIMER_ABSTIME, &due, NULL);
}

static void ring(void)
{
	uint64_t now = clock_ns(CLOCK_MONOTONIC);

	for (size_t fd = 0; fd < sizeof all / sizeof *all; fd++)
		if (all[fd] && all[fd]->due_ns && all[fd]->due_ns <= now)
			answer_otlp(all[fd]);
	set_alarm();
}

static void keep_otlp(struct connection *peer)
{
	uint64_t size = peer->kept;

	seen.otlp_posts++;
	if (otlp && asks(peer, "POST /v1/traces ")) {
		fwrite(&size, sizeof size, 1, otlp);
		fwrite(peer->kept_body, 1, peer->kept, otlp);
		fflush(otlp);
	}
	peer->due_ns = clock_ns(CLOCK_MONOTONIC) + otlp_delay_ns;
	if (otlp_delay_ns)
		set_alarm();
	else
		answer_otlp(peer);
}

static void finish_result(struct connection *peer)
{
	if (!seen.first_result_ns)
		seen.first_result_ns = clock_ns(CLOCK_MONOTONIC);
	seen.results++;
	seen.result_bytes += peer->body.payload;
	accept_result(peer);
}

/* The request is whole; its head still stands at the front of the buffer, unless a longer body has taken its place. */
static void answer(struct connection *peer, bool is_result, bool is_otlp)
{
	if (is_result)
		finish_result(peer);
	else if (is_otlp)
		keep_otlp(peer);
	else if (asks(peer, "GET /2018-06-01/runtime/invocation/next "))
		deliver_event(peer);
	else if (asks(peer, "POST /2020-01-01/extension/register "))
		register_extension(peer);
	else if (asks(peer, "GET /2020-01-01/extension/event/next ")) {
		seen.extension_poll_ns = seen.extension_poll_ns ? seen.extension_poll_ns : clock_ns(CLOCK_MONOTONIC);
		peer->waits_for_shutdown = true;
		if (seen.shutting_down)
			send_shutdown(peer);
	} else if (asks(peer, "GET /control/registered ")) {
		peer->waits_for_register = true;
		if (seen.registered_ns)
			open_gate(peer);
	} else if (asks(peer, "GET /control/stats "))
		report(peer);
	else if (asks(peer, "GET /control/shutdown ")) {
		shut_down();
		reply_text(peer, "200 OK", "", "{}");
	} else if (asks(peer, "GET "))
		reply_text(peer, "404 Not Found", "", "{}");
	else
		accept_result(peer);
}

static void begin_request(struct connection *peer, const char *body)
{
	bool is_post = asks(peer, "POST ");

	if (asks(peer, "POST /2020-01-01/extension/register ") && !seen.registered_ns)
		seen.registered_ns = clock_ns(CLOCK_MONOTONIC);
	peer->body = body_after(peer->buffer, body);
	peer->has_head = true;
	peer->kept = 0;
	peer->keeps_body = is_post && asks(peer, "POST /v1/");
}

static void keep_body(struct connection *peer, const char *data, size_t size)
{
	if (peer->kept + size > peer->kept_room) {
		peer->kept_room = 2 * (peer->kept + size);
		peer->kept_body = realloc(peer->kept_body, peer->kept_room);
	}
	memcpy(peer->kept_body + peer->kept, data, size);
	peer->kept += size;
}

/* An OTLP body is kept as it came, which is its payload where it has a Content-Length, as OTLP exporters send it. */
static size_t take_body(struct connection *peer, const char *data, size_t size)
{
	size_t taken = body_take(&peer->body, data, size);

	if (peer->keeps_body)
		keep_body(peer, data, taken);
	return taken;
}

/* The head stays at the front of the buffer until its request is whole: it says what to answer. */
static void take(struct connection *peer, size_t head_bytes)
{
	const char *body = peer->buffer + head_bytes;
	size_t size = peer->filled - head_bytes, taken = take_body(peer, body, size);

	if (peer->body.stage != COMPLETE) {
		peer->filled = head_bytes;
		return;
	}
	bool is_result = asks(peer, "POST /2018-06-01/runtime/invocation/");

	if (taken < size)
		fail("a second request came before the first was answered");
	peer->has_head = false;
	peer->filled = 0;
	answer(peer, is_result, peer->keeps_body);
}

static void receive(struct connection *peer)
{
	size_t before = peer->filled;
	ssize_t size = recv(peer->fd, peer->buffer + before, BUFFER_BYTES - before, MSG_DONTWAIT);

	if (size <= 0) {
		if (!size || errno != EAGAIN)
			drop(peer);
		return;
	}
	peer->filled += (size_t)size;
	if (!peer->has_head) {
		const char *body = head_end(peer->buffer, peer->filled);

		if (!body)
			return;
		begin_request(peer, body);
		before = (size_t)(body - peer->buffer);
	}
	take(peer, before);
}

static void serve(struct connection *peer, uint32_t ready)
{
	if (!(ready & EPOLLOUT)) {
		receive(peer);
		return;
	}
	send_rest(peer);
	if (!peer->out_count)
		watch(peer, EPOLLIN);
	else if (ready & (EPOLLERR | EPOLLHUP))
		drop(peer);
}

static void greet(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC), on = 1;
	struct epoll_event interest = {.events = EPOLLIN};

	if (fd < 0 || (size_t)fd >= sizeof all / sizeof *all)
		fail("too many connections");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	all[fd] = calloc(1, sizeof *all[fd]);
	all[fd]->fd = fd;
	interest.data.ptr = all[fd];
	epoll_ctl(poller, EPOLL_CTL_ADD, fd, &interest);
}

static int listen_on(int port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
	socklen_t size = sizeof address;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&address, size) || listen(fd, 256))
		fail("cannot listen on port %d: %s", port, strerror(errno));
	getsockname(fd, (struct sockaddr *)&address, &size);
	printf("%d\n", ntohs(address.sin_port));
	fflush(stdout);
	return fd;
}

static int shutdown_signal(void)
{
	sigset_t wanted;

	sigemptyset(&wanted);
	sigaddset(&wanted, SIGUSR1);
	sigprocmask(SIG_BLOCK, &wanted, NULL);
	return signalfd(-1, &wanted, SFD_CLOEXEC);
}

static void read_event(const char *path)
{
	FILE *file = fopen(path, "re");
	char *bytes = NULL;
	size_t room = 0;

	if (!file)
		fail("cannot read %s: %s", path, strerror(errno));
	ssize_t size = getdelim(&bytes, &room, EOF, file);

	if (size <= 0)
		fail("%s is empty", path);
	event = bytes;
	event_bytes = (size_t)size;
	fclose(file);
}

static int read_options(int count, char **values)
{
	static const struct option names[] = {{"event", 1, 0, 'e'}, {"port", 1, 0, 'p'}, {"otlp", 1, 0, 'o'},
					      {"otlp-delay-ms", 1, 0, 'd'}, {0, 0, 0, 0}};
	int name, port = 0;

	while ((name = getopt_long(count, values, "", names, NULL)) != -1) {
		if (name == 'e')
			read_event(optarg);
		else if (name == 'p')
			port = atoi(optarg);
		else if (name == 'd')
			otlp_delay_ns = strtoull(optarg, NULL, 10) * 1000000u;
		else if (name != 'o')
			exit(2);
		else if (!(otlp = fopen(optarg, "we")))
			fail("cannot write %s: %s", optarg, strerror(errno));
	}
	return port;
}

static void watch_new(int fd, void *tag)
{
	struct epoll_event interest = {.events = EPOLLIN, .data.ptr = tag};

	epoll_ctl(poller, EPOLL_CTL_ADD, fd, &interest);
}

int main(int count, char **values)
{
	static char at_listener, at_signal, at_alarm;
	struct epoll_event ready[64];
	struct signalfd_siginfo came;
	int listener = listen_on(read_options(count, values)), signals = shutdown_signal();

	poller = epoll_create1(EPOLL_CLOEXEC);
	watch_new(listener, &at_listener);
	watch_new(signals, &at_signal);
	alarm_clock = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	watch_new(alarm_clock, &at_alarm);
	for (;;) {
		int events = epoll_wait(poller, ready, 64, -1);

		for (int i = 0; i < events; i++) {
			if (ready[i].data.ptr == &at_listener)
				greet(listener);
			else if (ready[i].data.ptr == &at_alarm)
				ring();
			else if (ready[i].data.ptr != &at_signal)
				serve(ready[i].data.ptr, ready[i].events);
			else if (read(signals, &came, sizeof came) > 0)
				shut_down();
		}
	}
}
