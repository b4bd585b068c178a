# The agent of the container image, started as the documents of the package say, on the host where the package's agent was:
# the same identities, each attribute from the same source.

# Lines of attributes with their sources, of all that is watched.
told() { # command that lists as JSON
	"$@" | jq --raw-output --argjson pids "[$(IFS=,; echo "${pids[*]}")]" '.processes[] | select(.pid | IN($pids[]))
		| .pid as $pid | .attributes[] | "\($pid) \(.key)=\(.value) (\(.source))"' | sort
}

check_container() {
	section "the agent in its container"
	local manual=/usr/share/doc/shipwake/README.md package
	package=$(told shipwake ps --json)
	quietly systemctl stop $unit
	quietly docker build --network none --build-arg VERSION=0 --build-arg REVISION=$sha --tag shipwake:0.1.0 /test/image
	# The lines of the document as they stand.
	awk '/^docker run --detach/ {on = 1} /^docker exec/ {on = 0} on' $manual > /tmp/documented
	cat /tmp/documented
	quietly sh -e /tmp/documented
	eventually "all identities are those of the package's agent" "$package" told docker exec shipwake /usr/bin/shipwake ps --json
	echo "$(wc -l <<< "$package") attributes of ${#pids[@]} processes"
	expect "what doctor finds wrong in the container" "" "$( (docker exec shipwake /usr/bin/shipwake doctor --json || true) |
		jq --raw-output '.checks[] | select(.state == "failed") | "\(.name): \(.detail)"')"
	quietly docker stop shipwake
	expect "it ends well" 0 "$(docker inspect --format '{{.State.ExitCode}}' shipwake)"
	expect "nothing stays in the bpffs" "" "$(ls -A /sys/fs/bpf | grep shipwake || true)"
	eventually "nothing stays in the kernel" 0 programs
	quietly docker rm shipwake
	quietly docker rmi shipwake:0.1.0
	quietly systemctl start $unit
}
