#!/bin/sh
# The whole life of a block, a rule and a user with curl alone. $1: URL of the API, $2: token.
set -eu
api=$1
ask() { curl --silent --show-error --fail -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$@"; }
token=$2
id() { sed -E 's/.*"id":"([^"]+)".*/\1/'; }
etag() { ask --head "$1" | tr -d '\r' | sed -n 's/^etag: //ip'; }

block=$(ask "$api/blocks" -d '{"cidr": "198.51.100.7", "reason": "curl", "ttl": 3600}' | id)
ask "$api/blocks/$block" | grep -q '"reason":"curl"'
ask "$api/explain?address=198.51.100.7" | grep -q '"action":"reject"'
ask -X DELETE "$api/blocks/$block"
ask "$api/explain?address=198.51.100.7" | grep -q '"action":"accept"'

ask "$api/rules" -d '{"id": "curl_lab", "type": "blacklist", "remote_addr": "198.51.100.0/25"}' >/dev/null
before=$(etag "$api/rules/curl_lab")
ask -X PATCH "$api/rules/curl_lab" -H "If-Match: $before" -d '{"description": "The lab"}' | grep -q 'The lab'
if ask -X PATCH "$api/rules/curl_lab" -H "If-Match: $before" -d '{"description": "Lost"}' 2>/dev/null; then exit 1; fi
ask "$api/rules/curl_lab" | grep -q 'The lab'
ask -X DELETE "$api/rules/curl_lab" -H "If-Match: $(etag "$api/rules/curl_lab")"

ask "$api/users" -d '{"name": "dora", "password": "correct horse battery"}' >/dev/null
ask -X PATCH "$api/users/dora" -H "If-Match: $(etag "$api/users/dora")" -d '{"enabled": false}' | grep -q '"enabled":false'
ask "$api/users?enabled=false" | grep -q '"name":"dora"'
ask -X DELETE "$api/users/dora" -H "If-Match: $(etag "$api/users/dora")"
if ask "$api/users/dora" 2>/dev/null; then exit 1; fi
ask "$api/audit?target=dora" | grep -q '"action":"user_removed"'
echo done
