/* The floor: a byte relay that does nothing else. A thread for each connection, which waits on both sides with poll, reads
 * what came and writes it to the other. Addresses as every peer takes them: AWS_LAMBDA_RUNTIME_API and LRAP_LISTENER_PORT. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (64 * 1024)

static struct sockaddr_in upstream;

static int quick_socket(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	return fd;
}

static int write_all(int fd, const char *data, ssize_t size)
{
	while (size > 0) {
		ssize_t written = write(fd, data, (size_t)size);

		if (written <= 0)
			return 0;
		data += written;
		size -= written;
	}
	return 1;
}

static void *relay(void *accepted)
{
	int downstream = quick_socket((int)(intptr_t)accepted);
	int up = quick_socket(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	struct pollfd sides[2] = {{.fd = downstream, .events = POLLIN}, {.fd = up, .events = POLLIN}};
	char *buffer = malloc(BUFFER_BYTES);
	int open = !connect(up, (struct sockaddr *)&upstream, sizeof upstream);

	while (open && poll(sides, 2, -1) > 0) {
		for (int side = 0; open && side < 2; side++) {
			if (!sides[side].revents)
				continue;
			ssize_t size = read(sides[side].fd, buffer, BUFFER_BYTES);

			open = size > 0 && write_all(sides[!side].fd, buffer, size);
		}
	}
	close(downstream);
	close(up);
	free(buffer);
	return NULL;
}

static struct sockaddr_in address(const char *host, const char *port)
{
	struct sockaddr_in made = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

	inet_pton(AF_INET, host, &made.sin_addr);
	return made;
}

static int listen_on(const char *port)
{
	struct sockaddr_in here = address("127.0.0.1", port);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(fd, (struct sockaddr *)&here, sizeof here) || listen(fd, 256)) {
		perror("cannot listen");
		exit(1);
	}
	return fd;
}

int main(void)
{
	const char *api = getenv("AWS_LAMBDA_RUNTIME_API"), *port = getenv("LRAP_LISTENER_PORT");
	char host[64];

	if (!api || !port || sscanf(api, "%63[^:]", host) != 1 || !strchr(api, ':')) {
		fputs("needs AWS_LAMBDA_RUNTIME_API (host:port) and LRAP_LISTENER_PORT\n", stderr);
		return 2;
	}
	upstream = address(host, strchr(api, ':') + 1);
	signal(SIGPIPE, SIG_IGN);
	for (int listener = listen_on(port);;) {
		pthread_t thread;
		int accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (accepted >= 0 && !pthread_create(&thread, NULL, relay, (void *)(intptr_t)accepted))
			pthread_detach(thread);
	}
}
