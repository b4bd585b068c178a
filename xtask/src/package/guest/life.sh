# What happens to an installed package until it is gone.
metrics() {
	exec 3<> /dev/tcp/127.0.0.1/9464
	printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3
	head -1 <&3 | tr -d '\r'
	exec 3>&-
}

change_configuration() {
	section "changing the configuration"
	local before
	before=$(property InvocationID)
	printf '[prometheus]\nenabled = true\n' > /etc/shipwake/conf.d/test.toml
	echo '# mine' >> /etc/shipwake/shipwake.toml
	quietly systemctl restart $unit
	expect "it runs anew" "active another" "$(active) $([ "$before" = "$(property InvocationID)" ] || echo another)"
	eventually "and does what is new" "HTTP/1.0 200 OK" metrics

	section "a wrong configuration"
	printf '[aggregate]\ninterval = "soon"\n' > /etc/shipwake/conf.d/wrong.toml
	expect "the check finds it" 2 "$(shipwake config check > /dev/null 2>&1; echo $?)"
	systemctl restart $unit 2> /dev/null || true
	expect "it is no reason to try again" "failed 0 exit-code 2" \
		"$(active) $(property NRestarts) $(property Result) $(property ExecMainStatus)"
	expect "the log names the file" yes \
		"$(journalctl -u $unit -o cat | grep -q '/etc/shipwake/conf.d/wrong.toml' && echo yes)"
	eventually "nothing runs in the kernel" 0 programs
	rm /etc/shipwake/conf.d/wrong.toml
	systemctl reset-failed $unit
	quietly systemctl restart $unit
	expect "mended, it runs" active "$(active)"
}

crash() {
	section "a crash"
	local before loaded
	before=$(property MainPID) loaded=$(programs)
	kill -KILL "$before"
	eventually "systemd starts the agent again" "1 active" restarts
	expect "as another process" yes "$([ "$before" != "$(property MainPID)" ] && echo yes)"
	expect "the journal says why" 1 "$(journalctl -u $unit -o cat | grep -c 'Main process exited, code=killed, status=9/KILL')"
	eventually "the programs of the dead one are gone" "$loaded" programs
	expect "nothing stays in the bpffs" "" "$(ls -A /sys/fs/bpf | grep shipwake || true)"

	section "an agent that hangs"
	mkdir -p /run/systemd/system/$unit.d
	printf '[Service]\nWatchdogSec=10s\n' > /run/systemd/system/$unit.d/test.conf
	systemctl daemon-reload
	quietly systemctl restart $unit
	kill -STOP "$(property MainPID)"
	eventually "the watchdog ends it, systemd starts it again" "1 active" restarts
	expect "the journal says why" 1 "$(journalctl -u $unit -o cat | grep -c 'Watchdog timeout')"
	rm -r /run/systemd/system/$unit.d
	systemctl daemon-reload
}

upgrade() {
	section "upgrading"
	local before
	before=$(property InvocationID)
	dpkg --install /test/second.deb > /tmp/log 2>&1 || true
	expect "dpkg asks before it replaces a changed configuration" 1 "$(grep -c "Configuration file '/etc/shipwake/shipwake.toml'" /tmp/log)"
	expect "without an answer nothing is done yet" "open active # mine" \
		"$([ "$(version | cut -d' ' -f1)" = ii ] || echo open) $(active) $(tail -1 /etc/shipwake/shipwake.toml)"
	quietly dpkg --configure --force-confdef --force-confold shipwake
	expect "dpkg has the new one" "ii  $(shipped second)" "$(version)"
	expect "it runs, enabled" "active enabled" "$(active) $(enabled)"
	expect "it was started anew" yes "$([ "$before" != "$(property InvocationID)" ] && echo yes)"
	expect "the administrator's change stays" "# mine" "$(tail -1 /etc/shipwake/shipwake.toml)"
	expect "the new configuration lies beside it" "# The newer one." "$(head -1 /etc/shipwake/shipwake.toml.dpkg-dist)"
	eventually "what is configured is done" "HTTP/1.0 200 OK" metrics

	section "upgrading what is disabled"
	quietly systemctl disable --now $unit
	expect "stopped in time" "inactive success 0" "$(active) $(property Result) $(property ExecMainStatus)"
	quietly dpkg --install --force-confdef --force-confold /test/first.deb
	expect "it stays so" "disabled inactive" "$(enabled) $(active)"
	quietly systemctl enable --now $unit
	expect "until it is enabled" "enabled active" "$(enabled) $(active)"
}

remove() {
	section "removing"
	quietly apt-get remove --yes shipwake
	expect "it does not run" "inactive" "$(active)"
	expect "no process is left" "" "$(grep -lx shipwake /proc/[0-9]*/comm || true)"
	eventually "no program is left in the kernel" 0 programs
	eventually "no map either" "$(cat /tmp/maps-before)" maps
	expect "dpkg has its configuration" "rc  $(shipped first)" "$(version)"
	expect "which stays as it was changed" "# mine" "$(tail -1 /etc/shipwake/shipwake.toml)"
	expect "the program is gone, and its runtime folder" "" "$(ls -d /usr/bin/shipwake /run/shipwake 2> /dev/null || true)"
	quietly dpkg --install /test/first.deb
	expect "installed again it runs again, with that configuration" "enabled active # mine" \
		"$(enabled) $(active) $(tail -1 /etc/shipwake/shipwake.toml)"

	section "purging"
	quietly apt-get purge --yes shipwake
	expect "no process is left" "" "$(grep -lx shipwake /proc/[0-9]*/comm || true)"
	eventually "no program is left in the kernel" 0 programs
	eventually "no map either" "$(cat /tmp/maps-before)" maps
	expect "dpkg knows it no more" "" "$(version)"
	expect "systemd knows it no more" "" "$(systemctl list-unit-files --no-legend 'shipwake*')"
	files > /tmp/files-after
	expect "of all files what the administrator made stays, nothing else" "/etc/shipwake /etc/shipwake/conf.d /etc/shipwake/conf.d/test.toml" \
		"$(comm -13 /tmp/files-before /tmp/files-after | paste -sd' ')"
	expect "no file is missing" "" "$(comm -23 /tmp/files-before /tmp/files-after)"
	expect "nothing under its name, in memory either" "" \
		"$(find /run /sys/fs/bpf /var/tmp /tmp -name '*shipwake*' ! -path '/tmp/shipwake_first.deb' || true)"

	section "installing and purging what nobody changed"
	rm -r /etc/shipwake
	quietly dpkg --install /test/second.deb
	expect "it runs" "enabled active" "$(enabled) $(active)"
	quietly dpkg --purge shipwake
	files > /tmp/files-after
	expect "nothing stays" "" "$(comm -3 /tmp/files-before /tmp/files-after)"
	eventually "nor in the kernel" 0 programs
}
