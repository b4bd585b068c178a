# Workloads of every kind that systemd starts, and what the agent must call them.
sha=0123456789abcdef0123456789abcdef01234567
image=registry.test/shop/web:1.4.2
labels=("org.opencontainers.image.version=1.4.2" "org.opencontainers.image.revision=$sha"
	"org.opencontainers.image.source=https://git.test/acme/shop")

prepare_workloads() {
	section "preparing what is watched"
	systemctl is-active --quiet docker || quietly systemctl start docker
	local changes=(--change 'CMD ["/web"]') label
	for label in "${labels[@]}"; do changes+=(--change "LABEL $label"); done
	quietly docker import "${changes[@]}" /test/image.tar $image
	quietly podman import "${changes[@]}" /test/image.tar $image
	quietly dpkg --install /test/checkout.deb
	systemctl daemon-reload
}

# A program that nobody's unit runs is in the scope of a session.
bare() { # name, variables...
	local name=$1 new=$1-$RANDOM
	shift
	env --ignore-environment PATH="$PATH" "$@" systemd-run --quiet --scope --slice=user.slice --unit="session-$new" "/usr/bin/$name" &
	bare_pid=$!
	until [ "$(readlink /proc/$bare_pid/exe)" = "/usr/bin/$name" ]; do sleep 0.2; done
}

declare -A pids
start_workloads() {
	section "starting what is watched"
	systemctl start web worker@eu worker@us checkout shop
	bare checkout-batch
	pids[checkout-batch]=$bare_pid
	bare checkout-report
	pids[checkout-report]=$bare_pid
	quietly docker run --detach --name cart --network none --label com.docker.compose.project=shop \
		--label com.docker.compose.service=cart $image
	find_workloads
}

restart_workloads() {
	section "starting it anew"
	# Without its socket, as Debian installs it, Podman was known from its storage; from now on from its API.
	systemctl start podman.socket
	kill "${pids[checkout-batch]}" "${pids[checkout-report]}"
	wait "${pids[checkout-batch]}" "${pids[checkout-report]}"
	systemctl restart web worker@eu worker@us checkout shop
	bare checkout-batch
	pids[checkout-batch]=$bare_pid
	bare checkout-report
	pids[checkout-report]=$bare_pid
	quietly docker restart cart
	find_workloads
}

stop_workloads() {
	kill "${pids[checkout-batch]}" "${pids[checkout-report]}"
	systemctl stop web worker@eu worker@us checkout shop
	quietly docker rm --force cart
}

find_workloads() {
	local name
	for name in web worker@eu worker@us checkout; do pids[$name]=$(property MainPID $name); done
	pids[conmon]=$(property MainPID shop)
	pids[shop]=$(podman inspect --format '{{.State.Pid}}' systemd-shop)
	pids[cart]=$(docker inspect --format '{{.State.Pid}}' cart)
	for name in "${!pids[@]}"; do
		[ -d "/proc/${pids[$name]}" ] || { echo "FAILED: $name does not run"; exit 1; }
	done
}

# What the agent says about one process, apart from the host and from itself: `key=value`, sorted.
identity() { # name
	shipwake ps --json --pid "${pids[$1]}" | jq --raw-output '.processes[].attributes[]
		| select(.key | test("^(host|os|telemetry)[.]") | not) | "\(.key)=\(.value)"' | sort
}

# As docs of OpenTelemetry define them, by other programs than the agent.
instance() { # place on this host
	uuidgen --sha1 --namespace 4d63009a-8d0f-11ee-aad7-4c796ed8e320 --name "$(cat /etc/machine-id)/$1"
}
build() { # letter of the GNU build id, file
	local length
	length=$(printf '%016x' "$(stat --format %s "$2")" | sed 's/../\\x&/g')
	echo "process.executable.build_id.gnu=$(head -c 40 /dev/zero | tr '\0' "$1")"
	echo "process.executable.build_id.htlhash=$( (head -c 4096 "$2"; tail -c 4096 "$2"; printf "%b" "$length") | sha256sum | head -c 32)"
}
unit_place() { # unit, slice
	echo "service.instance.id=$(instance "$1")"
	echo "shipwake.systemd.unit=$1"
	echo "shipwake.systemd.slice=$2"
}
package() { # name, version
	printf '%s\n' shipwake.package.manager=dpkg "shipwake.package.name=$1" "shipwake.package.version=$2"
}
description() {
	printf '%s\n' vcs.ref.head.revision=1111111111222222222233333333334444444444 \
		vcs.repository.url.full=https://git.test/acme/checkout shipwake.deploy.author=ann@git.test \
		shipwake.deploy.build_time=2026-01-02T03:04:05Z cicd.pipeline.name=release cicd.pipeline.run.id=4711
}
# Of a container: runtime, name, container id, image id, time of the image.
container() {
	build f /test/web
	printf '%s\n' "service.version=1.4.2" "vcs.ref.head.revision=$sha" vcs.repository.url.full=https://git.test/acme/shop \
		"service.instance.id=$(instance "$3")" "container.runtime.name=$1" "container.name=$2" "container.id=$3" \
		"container.image.id=$4" container.image.name=registry.test/shop/web container.image.tags=1.4.2 \
		"shipwake.deploy.build_time=$5"
}

expected() { # name
	case $1 in
	web)
		unit_place web.service shop.slice
		build a /opt/web/bin/web
		# The drop-in and not the unit.
		printf '%s\n' service.name=web service.version=2.7.1 "vcs.ref.head.revision=$sha" deployment.environment.name=staging
		;;
	worker@*)
		unit_place "$1.service" system-worker.slice
		build b /opt/web/bin/worker
		printf '%s\n' "service.name=$1" "shipwake.systemd.instance=${1#*@}"
		;;
	checkout)
		unit_place checkout.service system.slice
		build c /usr/bin/checkout
		package checkout 1.4.2-3
		description
		printf '%s\n' service.name=checkout service.version=1.4.2-3
		;;
	checkout-batch | checkout-report)
		local letter=d name=unknown_service:checkout-batch
		[ "$1" = checkout-batch ] || { letter=e name=reports; echo vcs.ref.head.revision=5555555555666666666677777777778888888888; }
		build $letter "/usr/bin/$1"
		package checkout 1.4.2-3
		printf '%s\n' "service.name=$name" service.version=1.4.2-3 "process.executable.name=$1" \
			"process.executable.path=/usr/bin/$1" "service.instance.id=$(instance "/usr/bin/$1")"
		;;
	shop)
		local id config created digest
		read -r id config <<< "$(podman inspect --format '{{.Id}} {{.Image}}' systemd-shop)"
		read -r created digest <<< "$(podman image inspect $image | jq --raw-output '.[0] | "\(.Created) \(.Digest)"')"
		container podman systemd-shop "$id" "sha256:$config" "$created"
		printf '%s\n' "oci.manifest.digest=$digest" "container.image.repo_digests=registry.test/shop/web@$digest" \
			service.name=shop shipwake.systemd.unit=shop.service deployment.environment.name=production
		;;
	cart)
		container docker cart "$(docker inspect --format '{{.Id}}' cart)" "$(docker inspect --format '{{.Image}}' cart)" \
			"$(docker image inspect $image | jq --raw-output '.[0].Created')"
		printf '%s\n' service.name=cart service.namespace=shop
		;;
	esac | sort
}

check_origin() { # name, attribute, where it was found
	expect "where $2 of $1 was found" "$3" "$(shipwake ps --json --pid "${pids[$1]}" | jq --raw-output --arg key "$2" \
		'.processes[].attributes[] | select(.key == $key) | .source')"
}

# The host, by what systemd says about it.
check_host() {
	local said
	said=$(shipwake ps --json --pid "${pids[web]}" | jq --raw-output '.processes[].attributes[]
		| select(.key | test("^(host|os)[.]")) | "\(.key)=\(.value)"' | sort)
	. /etc/os-release
	expect "the host" "$(printf '%s\n' "host.arch=amd64" "host.id=$(cat /etc/machine-id)" "host.name=$(hostname)" \
		"os.build_id=$(uname -r)" "os.description=$PRETTY_NAME" "os.name=$NAME" "os.type=linux" "os.version=$VERSION_ID" | sort)" "$said"
}

# What is known and not exported, by what systemd says.
check_unit() { # name, newest file
	local said
	said=$(shipwake ps --explain --pid "${pids[$1]}")
	expect "the invocation of $1" "$(property InvocationID "$1")" \
		"$(awk '$1 == "shipwake.systemd.invocation_id" {print $3}' <<< "$said")"
	expect "when $1 was configured" "$(date --utc --date "@$(stat --format %Y "$2")" +%Y-%m-%dT%H:%M:%SZ)" \
		"$(awk '$1 == "shipwake.systemd.changed" {print $3}' <<< "$said")"
}

check_identities() { # when the agent was started
	section "identities, the agent started $1"
	local name
	for name in web worker@eu worker@us checkout checkout-batch checkout-report shop cart; do
		eventually "$name" "$(expected $name)" identity $name
	done
	check_origin web service.name systemd
	check_origin web service.version "environment APP_VERSION"
	check_origin web service.instance.id "host and unit"
	check_origin checkout service.version "package dpkg checkout"
	check_origin checkout vcs.ref.head.revision "file /usr/bin/checkout.deploy.json"
	check_origin checkout-report service.name "file /usr/bin/checkout-report.deploy.json"
	check_origin shop service.version "label org.opencontainers.image.version"
	check_origin shop service.instance.id "host and container id"
	check_host
	check_unit web /etc/systemd/system/web.service.d/deploy.conf
	check_unit worker@eu /etc/systemd/system/worker@.service
	check_unit checkout /usr/lib/systemd/system/checkout.service
	# Podman's own process in the unit is no version of the service.
	expect "what looks after the container has no version" "" \
		"$(identity conmon | grep -E '^service[.]version|^vcs[.]' || true)"
}
