# The package on a machine that has never had it.
version() { dpkg-query --show --showformat='${db:Status-Abbrev} ${Version}' shipwake 2> /dev/null || true; }
shipped() { dpkg-deb --field "/test/$1.deb" Version; }

# Everything on the disk but what changes by itself, and what dpkg and apt note in databases of their own.
files() {
	find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /run -o -path /tmp -o -path /var/tmp -o -path /test \
		-o -path /var/log -o -path /var/cache -o -path /var/lib/apt -o -path '/var/lib/dpkg/*-old' \
		-o -path /var/lib/docker -o -path /var/lib/containerd -o -path /var/lib/containers \) -prune -o -print | sort
}

wrong() { shipwake doctor --json | jq --raw-output '.checks[] | select(.state != "ok") | "\(.name): \(.detail)"'; }

install_for_the_first_time() {
	section "installing"
	files > /tmp/files-before
	maps > /tmp/maps-before
	expect "no program of the kind is in the kernel" 0 "$(programs)"
	cp /test/first.deb /tmp/shipwake_first.deb
	quietly apt-get install --yes /tmp/shipwake_first.deb
	expect "dpkg has it" "ii  $(shipped first)" "$(version)"
	expect "dpkg finds its files as they were made" "" "$(dpkg --verify shipwake)"
	expect "the service starts when it is installed" active "$(active)"
	expect "and with every boot" enabled "$(enabled)"
	expect "it did not have to be started again" "0 success" "$(property NRestarts) $(property Result)"
	expect "systemd is told what runs" "4 of 4 signals" "$(property StatusText)"
	expect "the kernel runs its programs, with maps" yes \
		"$([ "$(programs)" -gt 0 ] && [ "$(maps)" != "$(cat /tmp/maps-before)" ] && echo yes)"
	expect "nothing stays in the bpffs" "" "$(ls -A /sys/fs/bpf | grep shipwake || true)"
	expect "the configuration is right" "configuration is right" "$(shipwake config check)"
	expect "state is private, the folder of the socket is not" "700 755 600" \
		"$(stat --format %a /var/lib/shipwake /run/shipwake /run/shipwake/shipwake.sock | paste -sd' ')"
	# Emulated, a runtime may take its time to answer.
	expect "nothing to complain about but that nobody told it where to send" " WARN nothing is exported" \
		"$(journalctl -b -u $unit -o cat | grep -E '^ *(WARN|ERROR) ' | grep -v 'no answer within' | cut -d: -f1 || true)"

	section "the unit is closed"
	local pid
	pid=$(property MainPID)
	expect "five capabilities, and no way to get more" "000000c000280004 000000c000280004 1" \
		"$(awk '/^CapEff|^CapBnd|^NoNewPrivs/{print $2}' "/proc/$pid/status" | paste -sd' ')"
	expect "the system is read-only for the agent" ro \
		"$(awk '$5 == "/" {split($6, o, ","); print o[1]}' "/proc/$pid/mountinfo" | tail -1)"
	expect "system calls are filtered" 2 "$(awk '/^Seccomp:/{print $2}' "/proc/$pid/status")"
	eventually "doctor finds nothing wrong" "" wrong
	echo "memory: $(property MemoryCurrent) bytes, tasks: $(property TasksCurrent)"
	systemd-analyze security --no-pager $unit | tail -1
}
