package polyinst

import (
	"crypto/md5"
	"encoding/hex"
	"strings"

	"pam_polyinst/internal/config"
)

// Machine is what names and plans need to know of the machine.
type Machine struct {
	MachineID string // short hash of machine-id(5), in the names of tmpdir instances
	BootID    string // short hash of the boot's id
	Random    string // fresh for each session, in hexadecimal
	// ParentModeAny and HashNames: what the PAM line says for all polydirs
	ParentModeAny bool
	HashNames     bool
	KernelAtLeast func(major, minor int) bool
	Kernel        string
}

// Prefixes of names in an instance parent that are ours and no user's.
const (
	TmpdirPrefix = ".tmpdir."
	NewPrefix    = ".new."
	LockDir      = ".lock"
)

// nameMax is the longest instance name; a longer one is cut to nameKept bytes,
// "_" and its MD5. Both are the peer's, so that a host that migrates keeps its
// instances.
const (
	nameMax  = 80
	nameKept = nameMax - 1 - 2*md5.Size
)

// Names are the names that an instance may have, without the prefix.
type Names struct {
	Own   string   // what a new instance is called
	Older []string // under which one that exists may be used
}

// InstanceNames derives the names of the rule's instance for the subject. A
// tmpfs has none.
func InstanceNames(rule Rule, s Subject, m Machine) (Names, *Refusal) {
	switch rule.Config.Method {
	case config.MethodTmpfs:
		return Names{}, nil
	case config.MethodTmpdir:
		return Names{Own: strings.Join([]string{TmpdirPrefix[:len(TmpdirPrefix)-1], m.MachineID, m.BootID, m.Random}, ".")}, nil
	}
	if rule.Config.InstanceName == config.ByUID {
		return Names{Own: shorten(s.Vars().UID, rule, m)}, nil
	}
	if what := unusable(rule, s.User); what != "" {
		return Names{}, refuse(FaultUser, rule.Path, "the user name %q %s: it cannot name an instance", s.User, what)
	}
	names := Names{Own: shorten(s.User, rule, m)}
	if s.Typed != s.User && unusable(rule, s.Typed) == "" {
		names.Older = []string{shorten(s.Typed, rule, m)}
	}
	return names, nil
}

// unusable says why a name cannot be that of a user's instance.
func unusable(rule Rule, name string) string {
	if what := plainComponent(name); what != "" {
		return what
	}
	for _, ours := range []string{TmpdirPrefix, NewPrefix, LockDir} {
		// behind the prefix, where gc looks for tmpdirs, and as a whole
		if strings.HasPrefix(name, ours) || strings.HasPrefix(rule.Prefix+name, ours) {
			return "begins with " + ours
		}
	}
	return ""
}

func shorten(name string, rule Rule, m Machine) string {
	sum := md5.Sum([]byte(name))
	hash := hex.EncodeToString(sum[:])
	switch {
	case m.HashNames || rule.Config.HashNames:
		return hash
	case len(name) > nameMax:
		return name[:nameKept] + "_" + hash
	}
	return name
}
