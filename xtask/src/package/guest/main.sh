# The order of it all.
if has identities || has container; then
	prepare_workloads
	start_workloads
fi
install_for_the_first_time
if has identities; then
	check_identities "after what it watches"
	restart_workloads
	check_identities "before what it watches"
fi
if has container; then check_container; fi
if has identities || has container; then stop_workloads; fi
if has life; then
	change_configuration
	crash
	upgrade
	remove
fi
section "done, $failed failed"
[ $failed = 0 ]
