/* SPDX-License-Identifier: GPL-3.0-or-later */
/* What cffi is told: library.h and gate.h without what its parser does not know. */
struct se_ws;
struct se_ws_traffic {
    uint8_t remote[16], local[16];
    uint16_t remote_port, local_port, protocol;
    uint8_t remote_interface, local_interface;
    uint8_t is_ipv4, is_inbound;
};
int se_ws_open(const char *json, size_t length, int64_t microseconds, struct se_ws **out, char *error, size_t room);
void se_ws_close(struct se_ws *ws);
int se_ws_dispatch(struct se_ws *ws, const struct se_ws_traffic *traffic, const char *event, int64_t microseconds,
                   uint32_t *results, uint32_t *route);
int se_ws_dispatch_many(struct se_ws *ws, const struct se_ws_traffic *traffic, uint32_t count, int64_t microseconds,
                        uint32_t *results);
long se_ws_dump(struct se_ws *ws, char *out, size_t room);
uint32_t se_ws_version(void);

struct se_ws_gate;
struct se_ws_gate *se_ws_gate_open(const void *front, const void *inner);
void se_ws_gate_close(struct se_ws_gate *gate);
int se_ws_gate_set(struct se_ws_gate *gate, struct se_ws *const *tables, uint32_t count);
const void *se_ws_gate_table(struct se_ws_gate *gate);
