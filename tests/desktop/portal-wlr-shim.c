// Preloaded into xdg-desktop-portal-wlr 0.7, which calls a compositor that announces no DMABUF format an error,
// although it then captures through shared memory. sway with the pixman renderer is such a compositor: tell the
// portal of one DMABUF format, which nobody uses, since no linux-dmabuf global exists.
//
// With PORTAL_PAUSE in the environment it also waits so many milliseconds between two questions to the bus. What came
// with its name is read along with the second answer then, and 0.7 does not look at it before something else comes.
// Without the pause that happens now and then.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct wl_proxy;
const char *wl_proxy_get_class(struct wl_proxy *proxy);

typedef void (*handler)(void);
typedef void (*linux_dmabuf_handler)(void *data, struct wl_proxy *proxy, uint32_t fourcc, uint32_t width, uint32_t height);

enum { LINUX_DMABUF_EVENT = 5, FOURCC_XR24 = 0x34325258 };

int wl_proxy_add_listener(struct wl_proxy *proxy, handler *handlers, void *data)
{
	int (*real)(struct wl_proxy *, handler *, void *) = dlsym(RTLD_NEXT, "wl_proxy_add_listener");
	int outcome = real(proxy, handlers, data);
	if (strcmp(wl_proxy_get_class(proxy), "zwlr_screencopy_frame_v1") == 0)
		((linux_dmabuf_handler)handlers[LINUX_DMABUF_EVENT])(data, proxy, FOURCC_XR24, 0, 0);
	return outcome;
}

struct sd_bus;

int sd_bus_request_name(struct sd_bus *bus, const char *name, uint64_t flags)
{
	int (*real)(struct sd_bus *, const char *, uint64_t) = dlsym(RTLD_NEXT, "sd_bus_request_name");
	int outcome = real(bus, name, flags);
	const char *pause = getenv("PORTAL_PAUSE");
	if (pause)
		usleep(1000 * strtoul(pause, NULL, 10));
	return outcome;
}
