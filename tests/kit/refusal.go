package kit

import (
	"fmt"
	"strings"

	"pam_polyinst/tests/host"
)

// What each source of accounts can answer: enum nss_status, and what modules
// leave in errno with it. sss and ldap leave ENOENT where nobody is there to ask,
// winbind nothing.
var (
	DownAnswers = answers([]int{-1, -2}, []int{0, 2 /* ENOENT */, 11 /* EAGAIN */, 111 /* ECONNREFUSED */, 110 /* ETIMEDOUT */, 3 /* ESRCH */})
	GoneAnswers = answers([]int{0}, []int{0, 2, 3, 111})
)

func answers(statuses, errnos []int) []string {
	var all []string
	for _, s := range statuses {
		for _, e := range errnos {
			all = append(all, fmt.Sprint(s, " ", e))
		}
	}
	return all
}

var TmpParent = host.Parents + "/tmp"

// Everybody leaves nobody out: root too has a /tmp of its own.
var Everybody = strings.Replace(OwnTmp, `except          = ["root"]`, "", 1)

func Admitted(h *host.Host, user string) bool { return h.Su(user, "true").Code == 0 }

// LastGood is the one snapshot that there is.
func LastGood(h *host.Host) string {
	h.T.Helper()
	var found []string
	for _, name := range h.Names("/var/lib/polyinst") {
		if strings.HasPrefix(name, "last-good") {
			found = append(found, "/var/lib/polyinst/"+name)
		}
	}
	if len(found) != 1 {
		h.T.Fatalf("snapshots: %q", found)
	}
	return found[0]
}
