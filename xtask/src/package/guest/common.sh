# Runs in the guest as root, under systemd. Says how it went on the serial console, then powers off.
exec > /dev/ttyS0 2>&1 < /dev/null
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive SYSTEMD_PAGER= LC_ALL=C
unit=shipwake.service

finish() {
	local code=$?
	if [ $code != 0 ]; then
		systemctl --no-pager status $unit || true
		journalctl -b -o short-monotonic --no-pager -u $unit | tail -40 || true
	fi
	echo "shipwake-guest: exit $code"
	sync
	systemctl poweroff --force --force
}
trap finish EXIT
set -euo pipefail

section() { echo "== $1 ($(cut -d. -f1 /proc/uptime) s)"; }
has() { [[ " $parts " = *" $1 "* ]]; }

failed=0
expect() { # what, expected, found
	if [ "$2" != "$3" ]; then
		echo "FAILED: $1"
		diff <(printf '%s\n' "$2") <(printf '%s\n' "$3") | sed 's/^</expected:/; s/^>/found:   /' || true
		failed=$((failed + 1))
		return
	fi
	echo "ok: $1"
}

# Repeats a command until it prints what is expected, for two minutes at most.
eventually() { # what, expected, command...
	local what=$1 expected=$2 found end=$((SECONDS + 120))
	shift 2
	while found=$("$@" 2>&1 || true); [ "$found" != "$expected" ] && [ $SECONDS -lt $end ]; do sleep 1; done
	expect "$what" "$expected" "$found"
}

property() { systemctl show --property "$1" --value "${2:-$unit}"; }
active() { systemctl is-active $unit || true; }
enabled() { systemctl is-enabled $unit 2> /dev/null || true; }
restarts() { echo "$(property NRestarts) $(active)"; }

quietly() { "$@" > /tmp/log 2>&1 || { cat /tmp/log; return 1; }; }

# Programs and maps in the kernel that are no one's but an agent's: systemd and container runtimes load none of these kinds.
programs() { bpftool --json prog show | jq '[.[] | select(.type | IN("tracing", "raw_tracepoint"))] | length'; }
maps() { bpftool --json map show | jq -r '.[] | "\(.type) \(.name)"' | sort | uniq -c; }
