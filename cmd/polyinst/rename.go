package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/gc"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/nss"
	"pam_polyinst/internal/observe"
)

func renameCommand() *cobra.Command {
	var conf string
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "rename OLD NEW",
		Short: "let a renamed account take its instances along",
		Long: `Rename moves the instances of account OLD to the names that they have for NEW,
in all instance parents of the configuration, after usermod --login. OLD must be
gone, and what moves must have been made for the uid of NEW. Where NEW has an
instance already, or a session uses one of them, nothing is moved.

Where instances are named after uids, and NEW has another uid than before, OLD
is the old uid; what belongs to it in them becomes NEW's.`,
		Example: `  polyinst rename alice alicia --dry-run
  polyinst rename alice alicia        after usermod --login alicia alice
  polyinst rename 1001 alice          after usermod --uid 2001 alice`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return usageError{errors.New("which account? polyinst rename OLD NEW")}
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := needUID0("rename"); err != nil {
				return err
			}
			return rename(conf, args[0], args[1], dryRun)
		},
	}
	confFlag(cmd, &conf)
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be moved")
	return cmd
}

func rename(conf, old, new string, dryRun bool) error {
	who, r := observe.Account(new, "", nil)
	switch {
	case r != nil && r.Unknown:
		return noSuchAccount(new)
	case r != nil:
		return r
	}
	was, err := formerly(old)
	if err != nil {
		return err
	}
	c, _, err := load(conf, true)
	if err != nil {
		return err
	}
	moves, err := movesOf(c, was, who)
	if err != nil {
		return err
	}
	if len(moves) == 0 {
		return fmt.Errorf("the configuration's parents have no instance with the name of %q", old)
	}
	var errs []error
	for _, m := range moves {
		errs = append(errs, m.Check())
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("nothing is moved: %w", err)
	}
	for _, m := range moves {
		if dryRun {
			fmt.Fprintf(stdout, "would move %s to %s\n", plain(m.Source()), plain(m.Target()))
			continue
		}
		if err := m.Run(); err != nil {
			return err
		}
		if was.byUID {
			progress := newProgress("giving", 1)
			err := gc.Adopt(m.To, m.NewName, was.uid, who.UID, progress.entry)
			progress.hide()
			if err != nil {
				return fmt.Errorf("%w: `polyinst prepare --repair %s --from-uid %d`", err, shellword.Quote(m.Target()), was.uid)
			}
		}
		fmt.Fprintf(stdout, "moved %s to %s\n", plain(m.Source()), plain(m.Target()))
	}
	return nil
}

// former is what an account was known by.
type former struct {
	name  string
	uid   uint32
	byUID bool
}

// formerly is a name or a uid that no account has any more.
func formerly(old string) (former, error) {
	if uid, err := strconv.ParseUint(old, 10, 32); err == nil {
		gone, err := nss.GoneUID(uint32(uid))
		if err == nil && !gone {
			err = fmt.Errorf("there is an account with uid %d: its instances stay its own", uid)
		}
		return former{name: strconv.FormatUint(uid, 10), uid: uint32(uid), byUID: true}, err
	}
	gone, err := nss.GoneName(old)
	if err != nil {
		return former{}, fmt.Errorf("whether the account %q is gone: %w", old, err)
	}
	if !gone {
		return former{}, fmt.Errorf("the account %q exists: its instances stay its own", old)
	}
	return former{name: old}, nil
}

// movesOf looks in each parent for instances that are named after the old name, or
// the old uid.
func movesOf(c *config.Config, was former, who plan.Subject) ([]gc.Move, error) {
	before := who
	now, uid := who.User, who.UID
	if was.byUID {
		before.UID, uid = was.uid, was.uid
		now = strconv.FormatUint(uint64(who.UID), 10)
	} else {
		before.User, before.Typed = was.name, was.name
	}
	var moves []gc.Move
	seen := map[string]bool{}
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		if !p.InParent() || p.Fresh() || was.byUID != (p.InstanceName == config.ByUID) {
			continue
		}
		from, err := parentFor(p, before)
		if err != nil {
			return nil, err
		}
		to, err := parentFor(p, who)
		if err != nil {
			return nil, err
		}
		names, err := namesIn(from)
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			renamed, ok, r := plan.Renamed(plan.Rule{Config: p, Path: string(p.Path), Prefix: from.Prefix}, name, was.name, now)
			if r != nil {
				return nil, r
			}
			m := gc.Move{From: from, To: to, OldName: name, NewName: renamed, UID: uid}
			if ok && !seen[m.Source()] {
				seen[m.Source()] = true
				moves = append(moves, m)
			}
		}
	}
	return moves, nil
}

func parentFor(p *config.Polydir, who plan.Subject) (gc.Parent, error) {
	prefix, err := p.Prefix.Expand(who.Vars())
	if err != nil {
		return gc.Parent{}, fmt.Errorf("polydir %q: instance_prefix: %w", p.Path, err)
	}
	i := strings.LastIndexByte(prefix, '/')
	return gc.Parent{Path: prefix[:i], Prefix: prefix[i+1:]}, nil
}

// namesIn are the names in a parent, without the prefix, of what may be an
// instance.
func namesIn(p gc.Parent) ([]string, error) {
	entries, err := dirfd.NamesAt(p.Path)
	var names []string
	for _, entry := range entries {
		if name, ours := strings.CutPrefix(entry, p.Prefix); ours && !strings.HasPrefix(entry, ".") {
			names = append(names, name)
		}
	}
	return names, err
}
