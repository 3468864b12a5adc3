/* wait.c: the end of a start, or a deadline. XRT's own waits cannot be trusted with one: in emulation they
 * ignore it. A start that is late is told to end; what does not obey is left alone. */
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "runtime/runtime_internal.h"

static enum runtime_state wait_until(const struct runtime_driver *driver, void *device, double end)
{
    enum runtime_state state;
    unsigned pause_us = 20;
    while ((state = driver->state(device)) == RUNTIME_RUNNING && base_seconds() < end) {
        usleep(pause_us);
        pause_us = BASE_MIN(pause_us + 10, 500u);
    }
    return state;
}

/* In a thread of its own: a call into XRT may not come back either. Freed by whoever lets go of it last. */
struct stopper {
    const struct runtime_driver *driver;
    void *device;
    atomic_int users;
    atomic_bool ended;
};

static void release(struct stopper *s)
{
    if (atomic_fetch_sub(&s->users, 1) == 1)
        base_free(s);
}

static void *stop(void *arg)
{
    struct stopper *s = arg;
    if (!s->driver->write_register(s->device, REG_ABORT, 1) && wait_until(s->driver, s->device, base_seconds() + 1) == RUNTIME_DONE)
        atomic_store(&s->ended, true);
    release(s);
    return NULL;
}

static bool try_to_stop(const struct runtime_driver *driver, void *device)
{
    pthread_t thread;
    struct stopper *s = BASE_NEW(struct stopper);
    if (!s)
        return false;
    s->driver = driver;
    s->device = device;
    atomic_init(&s->users, 2);
    if (pthread_create(&thread, NULL, stop, s)) {
        base_free(s);
        return false;
    }
    pthread_detach(thread);
    bool ended = false;
    for (double end = base_seconds() + 2; !ended && atomic_load(&s->users) == 2 && base_seconds() < end;) {
        usleep(1000);
        ended = atomic_load(&s->ended);
    }
    ended = atomic_load(&s->ended);
    release(s);
    return ended;
}

int runtime_wait(bool *lost, const struct runtime_driver *driver, void *device, int deadline_ms)
{
    enum runtime_state state = wait_until(driver, device, base_seconds() + deadline_ms * 1e-3);
    if (state == RUNTIME_DONE)
        return BITPRESS_OK;
    if (state == RUNTIME_FAILED) {
        *lost = true;
        return base_fail(BITPRESS_DEVICE, "%s: the start was given up by XRT", driver->name);
    }
    *lost = !try_to_stop(driver, device);
    base_fail(BITPRESS_STALLED, "%s: the device is not done after %d ms%s", driver->name, deadline_ms, *lost ? ", and does not obey an abort" : "; it was aborted");
    return base_hint(BITPRESS_STALLED, *lost ? "load the bitstream again, or restart the board" : "a longer deadline: deadline_ms, or BITPRESS_DEADLINE_MS");
}
