package main

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/gc"
	"pam_polyinst/internal/kernel/nss"
	"pam_polyinst/internal/observe"
)

// instanceAt is the parent and the name, without the prefix, of an instance that
// is named by its path.
func instanceAt(c *config.Config, path string) (parent, string, error) {
	for _, p := range parents(c, false) {
		name, ok := strings.CutPrefix(path, p.path+"/")
		if ok && !strings.Contains(name, "/") && strings.HasPrefix(name, p.prefix) && !strings.HasPrefix(name, ".") {
			if absent(path) {
				return parent{}, "", fmt.Errorf("%s: there is no such instance; `polyinst list --instances` shows them", path)
			}
			return p, name[len(p.prefix):], nil
		}
	}
	return parent{}, "", fmt.Errorf("%s: is no instance of a polydir of the configuration; `polyinst list --instances` shows them", path)
}

func repairInstance(c *config.Config, path string, fromUID uint32) error {
	p, name, err := instanceAt(c, path)
	if err != nil {
		return err
	}
	given, err := giveInstance(p, path, name, fromUID)
	if err != nil {
		return err
	}
	rule, ok := ruleAt(c, p, name)
	switch {
	case !ok && given:
		return nil
	case !ok:
		return fmt.Errorf("%s: its polydir varies by user, and its name is that of no account to whom it applies: set owner and mode by hand", path)
	}
	if err := apply.Repair(rule, p.prefix+name); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "repaired %s\n", plain(path))
	return nil
}

// ruleAt is the rule by which an instance was made: where the polydir varies by
// user, that of the account that the instance is named after.
func ruleAt(c *config.Config, p parent, name string) (plan.Rule, bool) {
	if t := p.rule.Path; !t.Varies() {
		polydir, err := t.Expand(config.Vars{})
		if err != nil {
			return plan.Rule{}, false
		}
		return plan.Rule{Config: p.rule, Path: polydir, Parent: p.path, Prefix: p.prefix}, true
	}
	who, err := accountNamed(name, p.rule.InstanceName == config.ByUID)
	if err != nil {
		return plan.Rule{}, false
	}
	for _, r := range rulesOf(c, who.User) {
		if r.Config == p.rule && r.Parent == p.path && r.Prefix == p.prefix {
			return r, true
		}
	}
	return plan.Rule{}, false
}

// giveInstance gives an instance to its account, which has another uid now. Only
// whoever calls this can know whether it is the same person's, and they say so by
// naming the uid.
func giveInstance(p parent, path, name string, fromUID uint32) (given bool, err error) {
	uid, recorded, err := gc.RecordedUID(p.path, p.prefix+name)
	if err != nil || !recorded {
		if err == nil && fromUID != 0 {
			err = fmt.Errorf("%s: it is not recorded which uid it was made for", path)
		}
		return false, err
	}
	u, err := accountNamed(name, p.rule.InstanceName == config.ByUID)
	switch {
	case err != nil && !nss.IsUnknown(err):
		return false, err
	case fromUID != 0 && fromUID != uid:
		return false, fmt.Errorf("%s: was made for uid %d, not %d", path, uid, fromUID)
	case err != nil && fromUID != 0:
		return false, fmt.Errorf("%s: its name is that of no account: `polyinst rename %s NEW` first", path, shellword.Quote(name))
	case err != nil || u.UID == uid:
		return false, nil
	case fromUID == 0:
		return false, fmt.Errorf("%s: was made for uid %d, and %q has uid %d: with --from-uid %d, if that is the same person, what is uid %d's in it becomes theirs; if it is not, `polyinst prepare --aside %s`",
			path, uid, u.User, u.UID, uid, uid, shellword.Quote(path))
	}
	progress := newProgress("giving", 1)
	err = gc.Adopt(gc.Parent{Path: p.path, Prefix: p.prefix}, name, uid, u.UID, progress.entry)
	progress.hide()
	if err != nil {
		return false, err
	}
	fmt.Fprintf(stdout, "gave %s to %s: what was uid %d's in it is uid %d's\n", plain(path), plain(u.User), uid, u.UID)
	return true, nil
}

// accountNamed is the account that an instance is named after: by its whole name,
// or by what stands behind a context and "_"; byUID: that is its uid.
func accountNamed(name string, byUID bool) (plan.Subject, error) {
	find := nss.User
	if byUID {
		find = func(name string) (*user.User, error) {
			uid, err := strconv.ParseUint(name, 10, 32)
			if err != nil {
				return nil, user.UnknownUserError(name)
			}
			return nss.UserID(uint32(uid))
		}
	}
	u, err := find(name)
	for rest, more := name, strings.ContainsRune(name, ':'); more && nss.IsUnknown(err); {
		if _, rest, more = strings.Cut(rest, "_"); more {
			u, err = find(rest)
		}
	}
	if err != nil {
		return plan.Subject{}, err
	}
	who, r := observe.Account(u.Username, "", nil)
	if r != nil {
		return who, r
	}
	return who, nil
}

func setAside(c *config.Config, path string) error {
	p, name, err := instanceAt(c, path)
	if err != nil {
		return err
	}
	uid, recorded, err := gc.RecordedUID(p.path, p.prefix+name)
	if err != nil {
		return err
	}
	if !recorded {
		return fmt.Errorf("%s: it is not recorded which uid it was made for: look at it, and move it away", path)
	}
	where := gc.Parent{Path: p.path, Prefix: p.prefix}
	move := gc.Move{From: where, To: where, OldName: name, NewName: gc.AsideName(name, uid), AnyUID: true}
	if err := move.Run(); err != nil {
		return err
	}
	fmt.Fprintf(stdout, "moved %s to %s, for nobody: `polyinst gc --orphans` removes it in time\n", plain(move.Source()), plain(move.Target()))
	return nil
}
