package observe

import (
	"regexp"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/layout"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/instance"
	"pam_polyinst/internal/kernel/dirfd"
)

// renamedMax is how many locks are looked at for a hint. They are root's: no user
// makes another one's login read more.
const renamedMax = 1000

var aside = regexp.MustCompile(`\.uid-\d+$`)

// formerName is the name of another instance that was made for the subject's uid, for
// a subject without an instance of their own name: the account was renamed, or the
// uid was somebody else's. A lock that cannot be read is no hint.
func formerName(parent dirfd.Dir, rule plan.Rule, s plan.Subject) string {
	if rule.Config.Method != config.MethodUser || rule.Config.InstanceName == config.ByUID {
		return ""
	}
	locks, err := parent.LookupHere(layout.LockDir)
	if err != nil {
		return ""
	}
	defer locks.Close()
	former, looked := "", 0
	_, _ = locks.Has(func(entry string) bool {
		if looked++; looked > renamedMax {
			return true
		}
		name, ours := strings.CutPrefix(entry, rule.Prefix)
		if !ours || name == s.User || strings.HasPrefix(entry, ".") || plan.Hashed(name) || aside.MatchString(name) {
			return false
		}
		if uid, recorded := instance.UID(parent, entry); !recorded || uid != s.UID {
			return false
		}
		dir, err := parent.LookupHere(entry)
		if err != nil {
			return false
		}
		dir.Close()
		former = name
		return true
	})
	return former
}
