package plan

import (
	"crypto/md5"
	"encoding/hex"
	"strings"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/layout"
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
	Security      Security
	InitDir       string // where an init script with a relative path lies
	Conf          string // the main file; empty: the default one
}

// nameMax is the longest instance name; a longer one is cut to nameKept bytes,
// "_" and its MD5. Both are pam_namespace's, so that a host that migrates keeps its
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

// Shared reports whether several users have one instance.
func Shared(rule Rule, m Machine) bool { return rule.Config.Shared && ByContext(rule, m) }

// InstanceNames derives the names of the rule's instance for the subject. What
// lies in no parent has none. contexts are, under SELinux, the instance's raw context, and
// other spellings of it that older software used; only a rule ByContext has any.
func InstanceNames(rule Rule, s Subject, m Machine, contexts ...string) (Names, *Refusal) {
	switch {
	case !rule.Config.InParent():
		return Names{}, nil
	case rule.Config.Fresh():
		return Names{Own: strings.Join([]string{layout.TmpdirPrefix[:len(layout.TmpdirPrefix)-1], m.MachineID, m.BootID, m.Random}, ".")}, nil
	}
	users, r := userParts(rule, s)
	if r != nil {
		return Names{}, r
	}
	switch {
	case !ByContext(rule, m):
		contexts = []string{""}
	case m.Security.Module != SELinux:
		contexts = []string{contextName(m.Security)}
	}
	if Shared(rule, m) {
		users = []string{""}
	}
	var all []string
	for _, context := range contexts {
		for _, user := range users {
			name := context + user
			if context != "" && user != "" {
				name = context + "_" + user
			}
			all = append(all, shorten(name, rule, m))
		}
	}
	if len(all) == 0 {
		return Names{}, refuse(FaultHost, rule.Path, "there is no security context to name the instance after").blame("method")
	}
	return Names{Own: all[0], Older: all[1:]}, nil
}

// userParts are the user's part of an instance's name: the canonical one, and
// the spelling that was typed.
func userParts(rule Rule, s Subject) ([]string, *Refusal) {
	if rule.Config.InstanceName == config.ByUID {
		return []string{s.Vars().UID}, nil
	}
	if what := unusable(rule, s.User); what != "" {
		return nil, refuse(FaultUser, rule.Path, "the user name %q %s: it cannot name an instance", s.User, what)
	}
	if s.Typed != s.User && unusable(rule, s.Typed) == "" {
		return []string{s.User, s.Typed}, nil
	}
	return []string{s.User}, nil
}

// unusable says why a name cannot be that of a user's instance.
func unusable(rule Rule, name string) string {
	if what := plainComponent(name); what != "" {
		return what
	}
	if wantsContext(rule) && strings.ContainsRune(name, ':') {
		return `contains ":", as the names by context do`
	}
	for _, ours := range layout.Reserved {
		// behind the prefix, where gc looks for tmpdirs, and as a whole
		if strings.HasPrefix(name, ours) || strings.HasPrefix(rule.Prefix+name, ours) {
			return "begins with " + ours
		}
	}
	return ""
}

// Renamed is the name of a rule's instance, without the prefix, when what it is
// named after, the name of its account or its uid, is another one; false where it is
// not named after that. A name by context that was shortened does not tell.
func Renamed(rule Rule, name, old, new string) (string, bool, *Refusal) {
	for _, hash := range []bool{false, true} {
		m := Machine{HashNames: hash}
		if name != shorten(old, rule, m) {
			continue
		}
		if what := unusable(rule, new); what != "" {
			return "", false, refuse(FaultUser, rule.Path, "the user name %q %s: it cannot name an instance", new, what)
		}
		return shorten(new, rule, m), true, nil
	}
	if context, ok := strings.CutSuffix(name, "_"+old); ok && strings.ContainsRune(context, ':') {
		return shorten(context+"_"+new, rule, Machine{}), true, nil
	}
	return "", false, nil
}

// Hashed reports whether a name is, or ends with, a hash as shorten makes them, so
// that it does not tell whose it is.
func Hashed(name string) bool {
	rest, cut := name, false
	if len(name) == nameMax {
		rest, cut = strings.CutPrefix(name[nameKept:], "_")
	}
	if !cut {
		rest = name
	}
	_, err := hex.DecodeString(rest)
	return err == nil && len(rest) == 2*md5.Size
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
