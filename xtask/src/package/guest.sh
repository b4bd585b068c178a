# Runs in the guest as root, under systemd. Says how it went on the serial console, then powers off.
exec > /dev/ttyS0 2>&1 < /dev/null
export PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive SYSTEMD_PAGER=
unit=shipwake.service
trap 'code=$?; [ $code = 0 ] || { systemctl status $unit; journalctl -b -u $unit | tail -40; }
      echo "shipwake-guest: exit $code"; sync; systemctl poweroff --force --force' EXIT
set -e

expect() { # what, expected, found
	[ "$2" = "$3" ] || { echo "FAILED: $1: expected \`$2\`, found \`$3\`"; exit 1; }
	echo "ok: $1"
}
property() { systemctl show --property "$1" --value $unit; }
active() { systemctl is-active $unit || true; }
enabled() { systemctl is-enabled $unit 2>/dev/null || true; }
install() { apt-get install -y -qq --allow-downgrades "$1" > /tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }; }

echo "== installing"
install /test/first.deb
expect "the service starts when it is installed" active "$(active)"
expect "and with every boot" enabled "$(enabled)"
expect "systemd is told what runs" "4 of 4 signals" "$(property StatusText)"
expect "it did not have to be started again" 0 "$(property NRestarts)"
pid=$(property MainPID)
expect "it has five capabilities" "000000c000280004" "$(awk '/^CapEff/{print $2}' /proc/$pid/status)"
expect "and cannot get more" "000000c000280004 1" "$(awk '/^CapBnd|^NoNewPrivs/{print $2}' /proc/$pid/status | paste -sd' ')"
expect "nothing stays in the bpffs" "" "$(ls -A /sys/fs/bpf | grep shipwake || true)"
expect "the configuration is right" 0 "$(shipwake config check > /dev/null; echo $?)"
expect "state is private" "700" "$(stat -c %a /var/lib/shipwake)"
journalctl -b -u $unit -o cat | grep -v " INFO " || true

echo "== identities under the unit are those that root sees"
systemd-run --quiet --unit=shop --property=User=nobody --setenv=OTEL_SERVICE_NAME=shop-web \
	--setenv=OTEL_RESOURCE_ATTRIBUTES=service.version=1.2.3,team=core /bin/sleep 1000000
systemd-run --quiet --unit=billing@eu --property=DynamicUser=yes /bin/sleep 1000001
for name in shop billing@eu; do
	pid=$(systemctl show --property MainPID --value $name.service)
	shipwake ps --explain --pid $pid --set api.socket=/nonexistent > /tmp/direct
	for wait in 1 2 3 4 5 6 7 8 9 10; do
		shipwake ps --explain --pid $pid > /tmp/under || true
		cmp -s /tmp/direct /tmp/under && break
		sleep 1
	done
	expect "the same of $name" "$(cat /tmp/direct)" "$(cat /tmp/under)"
	cat /tmp/under
done
expect "the environment of another user's process is known" 1 "$(shipwake ps | grep -c 'shop-web .*1.2.3')"
expect "the host is named" 1 "$(grep -c "host.id *= $(cat /etc/machine-id)" /tmp/under)"

echo "== the unit is closed"
expect "the system is read-only for the agent" ro "$(awk '$5 == "/" {split($6, o, ","); print o[1]}' /proc/$(property MainPID)/mountinfo | tail -1)"
shipwake doctor || true
echo "memory: $(property MemoryCurrent) bytes, tasks: $(property TasksCurrent)"
systemd-analyze security --no-pager $unit | tail -1

echo "== changing the configuration"
echo '[aggregate]
interval = "3s"' > /etc/shipwake/conf.d/test.toml
echo '# mine' >> /etc/shipwake/shipwake.toml
echo '[aggregate]
interval = "soon"' > /etc/shipwake/conf.d/wrong.toml
systemctl restart $unit 2>/dev/null || true
expect "a wrong configuration is no reason to try again" "failed 0" "$(active) $(property NRestarts)"
rm /etc/shipwake/conf.d/wrong.toml
systemctl reset-failed $unit
systemctl restart $unit
expect "a right one works" active "$(active)"

echo "== a crash"
kill -KILL "$(property MainPID)"
for wait in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	[ "$(property NRestarts) $(active)" = "1 active" ] && break
	sleep 1
done
expect "the agent is started again" "1 active" "$(property NRestarts) $(active)"

echo "== upgrading"
before=$(property MainPID)
install /test/second.deb
expect "the new one runs" active "$(active)"
expect "it was started anew" no "$([ "$before" = "$(property MainPID)" ] && echo yes || echo no)"
expect "the administrator's change stays" "# mine" "$(tail -1 /etc/shipwake/shipwake.toml)"

echo "== disabling"
systemctl --quiet disable --now $unit
install /test/first.deb
expect "a disabled service stays so" "disabled inactive" "$(enabled) $(active)"
systemctl --quiet enable --now $unit

echo "== removing"
apt-get remove -y -qq shipwake > /dev/null
expect "it does not run" inactive "$(active)"
expect "the configuration stays" "# mine" "$(tail -1 /etc/shipwake/shipwake.toml)"
expect "the program is gone" "" "$(command -v shipwake || true)"
install /test/first.deb
expect "installed again it runs again" "enabled active" "$(enabled) $(active)"
apt-get purge -y -qq shipwake > /dev/null
expect "purged, only what the administrator made stays" "/etc/shipwake /etc/shipwake/conf.d /etc/shipwake/conf.d/test.toml" \
	"$(find / -xdev -path /test -prune -o -name '*shipwake*' -print -o -path '/etc/shipwake/*' -print | grep -v '^/tmp\|^/var/cache/apt\|^/var/log' | sort | paste -sd' ')"
expect "systemd knows it no more" "" "$(systemctl list-unit-files --no-legend 'shipwake*')"
expect "nothing is left running" "" "$(grep -lx shipwake /proc/[0-9]*/comm || true)"
