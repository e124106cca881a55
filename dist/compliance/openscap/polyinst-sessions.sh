#!/bin/sh
# The script check of polyinst-xccdf.xml: do sessions have the directories of
# their own? OpenSCAP gives the values and the exit statuses in the environment.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

if [ "$(id -u)" != 0 ]; then
	echo "polyinst report needs root"
	exit "${XCCDF_RESULT_ERROR:-103}"
fi
if ! command -v polyinst >/dev/null; then
	echo "there is no polyinst on this machine"
	exit "${XCCDF_RESULT_FAIL:-102}"
fi

set -f # names of accounts are no patterns
set --
for dir in ${XCCDF_VALUE_DIRECTORIES:-/tmp /var/tmp}; do set -- "$@" --require "$dir"; done
for service in ${XCCDF_VALUE_SERVICES:-sshd login}; do
	[ "$service" = all ] || set -- "$@" --service "$service"
done
for user in ${XCCDF_VALUE_EXEMPT:-none}; do
	[ "$user" = none ] || set -- "$@" --exempt "$user"
done

polyinst report "$@" 2>&1
case $? in
0) exit "${XCCDF_RESULT_PASS:-101}" ;;
1) exit "${XCCDF_RESULT_FAIL:-102}" ;;
*) exit "${XCCDF_RESULT_ERROR:-103}" ;;
esac
