package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/config"
	"pam_polyinst/internal/dirfd"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/pamstack"
	"pam_polyinst/internal/polyinst"
	"pam_polyinst/internal/record"
)

func prepareCommand() *cobra.Command {
	var conf, repair string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "prepare",
		Short: "make the instance parents of the whole configuration",
		Long: `Prepare makes the instance parents that are missing, root:root with the mode
that the configuration demands (0000), and the directories of X servers' sockets
that a keep names. It changes nothing that exists but for a quota, which it sets
on the instances that are there. Parents below $HOME are made by the session
itself.`,
		Example: `  polyinst prepare
  polyinst prepare --repair /var/lib/polyinst/tmp/alice`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			if err := needUID0("prepare"); err != nil {
				return err
			}
			if repair != "" && asJSON {
				return usageError{errors.New("--repair has nothing to report as JSON")}
			}
			c, _, err := load(conf, true)
			if err != nil {
				return err
			}
			if repair != "" {
				return repairInstance(c, repair)
			}
			return prepare(c, asJSON)
		},
	}
	confFlag(cmd, &conf)
	cmd.Flags().StringVar(&repair, "repair", "", "give this existing `INSTANCE` the owner and mode of its polydir")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// prepared is the schema of prepare --json.
type prepared struct {
	Schema   int      `json:"schema"`
	Made     []string `json:"made"`
	Limited  []string `json:"limited"` // instances that got a project for their quota
	Problems []remark `json:"problems"`

	quiet bool // it is printed at the end, as JSON
}

func (p *prepared) made(path string) {
	p.Made = append(p.Made, path)
	if !p.quiet {
		fmt.Printf("made %s\n", plain(path))
	}
}

func (p *prepared) problem(place config.Position, format string, args ...any) {
	r := at(place, pamstack.Error, format, args...)
	p.Problems = append(p.Problems, r)
	if !p.quiet {
		fmt.Fprintln(os.Stderr, r)
	}
}

func prepare(c *config.Config, asJSON bool) error {
	// the directory of the records: not every login program may make it
	store, err := record.Open()
	if err != nil {
		return err
	}
	store.Close()
	out := prepared{schema, []string{}, []string{}, []remark{}, asJSON}
	for _, p := range parents(c, true) {
		made, err := apply.PrepareParent(p.path, p.rule.ParentMode, p.rule.ParentModeAny, p.rule.ParentInUnsafeDir)
		switch {
		case err != nil:
			out.problem(keyOf(p.rule, "instance_prefix"), "instance parent %q: %s", p.path, message(err))
		case made:
			out.made(p.path)
		}
	}
	out.kept(c)
	out.limited(c)
	if asJSON {
		if err := printJSON(out); err != nil {
			return err
		}
	}
	if len(out.Problems) > 0 {
		return errReported
	}
	return nil
}

// kept makes the directories of X servers that some `keep` names, where the
// polydir is the same for everybody. Other entries are their owners' to make:
// nobody can tell what they are to be.
func (p *prepared) kept(c *config.Config) {
	for i := range c.Polydirs {
		rule := &c.Polydirs[i]
		polydir, err := rule.Path.Expand(config.Vars{})
		if err != nil {
			continue
		}
		for _, name := range rule.Keep {
			if !slices.Contains(apply.KeptByX, name) {
				continue
			}
			made, err := apply.PrepareKept(polydir, name)
			switch {
			case err != nil:
				p.problem(keyOf(rule, "keep"), "polydir %q: keep: %q: %s", polydir, name, message(err))
			case made:
				p.made(polydir + "/" + name)
			}
		}
	}
}

// limited gives instances that were made before there was a quota their limits.
// A session does that, too, if there is not much in its instance.
func (p *prepared) limited(c *config.Config) {
	for _, parent := range parents(c, false) {
		if parent.rule.Quota == (config.Quota{}) || parent.rule.Method == config.MethodTmpdir {
			continue
		}
		err := apply.PrepareQuota(parent.path, parent.prefix, parent.rule.Quota, func(path string) {
			p.Limited = append(p.Limited, path)
			if !p.quiet {
				fmt.Printf("limited %s\n", plain(path))
			}
		})
		if err != nil {
			p.problem(keyOf(parent.rule, "quota"), "polydir %q: quota: instance parent %q: %s", parent.rule.Path, parent.path, message(err))
		}
	}
}

func message(err error) string {
	if dirfd.IsNotExist(err) {
		return "does not exist"
	}
	return err.Error()
}

// parent is an instance parent of the configuration and the rule that wants it.
type parent struct {
	path, prefix string
	rule         *config.Polydir
}

// parents are the instance parents of the configuration. Those that vary by
// user are expanded for each account that the directory lists; those in homes
// can be left out, because a session makes them itself.
func parents(c *config.Config, exceptHomes bool) []parent {
	var out []parent
	seen := map[string]bool{}
	add := func(r polyinst.Rule) {
		if key := r.Parent + "/" + r.Prefix; r.Parent != "" && !seen[key] {
			seen[key] = true
			out = append(out, parent{r.Parent, r.Prefix, r.Config})
		}
	}
	var users []string
	for i := range c.Polydirs {
		p := &c.Polydirs[i]
		t := p.Prefix
		varies := t.Uses("USER") || t.Uses("UID") || t.Uses("HOME")
		switch {
		case p.Method == config.MethodTmpfs, exceptHomes && t.Uses("HOME"):
		case !varies:
			if prefix, err := t.Expand(config.Vars{}); err == nil {
				i := strings.LastIndexByte(prefix, '/')
				add(polyinst.Rule{Config: p, Parent: prefix[:i], Prefix: prefix[i+1:]})
			}
		default:
			if users == nil {
				users = accounts()
			}
			for _, name := range users {
				for _, r := range rulesOf(c, name) {
					if r.Config == p {
						add(r)
					}
				}
			}
		}
	}
	return out
}

func rulesOf(c *config.Config, name string) []polyinst.Rule {
	who, r := observe.Account(name, "", c.Groups())
	if r != nil {
		return nil
	}
	every := *c
	every.Polydirs = append([]config.Polydir{}, c.Polydirs...)
	for i := range every.Polydirs {
		every.Polydirs[i].Services = nil // a parent is wanted for any of them
	}
	selection, r := polyinst.Select(&every, who)
	if r != nil {
		return nil
	}
	for i := range selection.Rules {
		for j := range every.Polydirs {
			if selection.Rules[i].Config == &every.Polydirs[j] {
				selection.Rules[i].Config = &c.Polydirs[j]
			}
		}
	}
	return selection.Rules
}

// accounts are the names of all accounts that the directory lists.
func accounts() []string {
	names, err := getent("passwd")
	if err != nil {
		fmt.Fprintf(os.Stderr, "polyinst: getent passwd: %v: parents that vary by user are left out\n", err)
	}
	return names
}

// groups are the names of the groups that the directory lists.
func groups() []string {
	names, _ := getent("group")
	return names
}

func getent(database string) ([]string, error) {
	out, err := exec.Command("getent", database).Output()
	var names []string
	lines := bufio.NewScanner(bytes.NewReader(out))
	for lines.Scan() {
		if name, _, ok := strings.Cut(lines.Text(), ":"); ok {
			names = append(names, name)
		}
	}
	return names, err
}

func repairInstance(c *config.Config, path string) error {
	for _, p := range parents(c, false) {
		name, ok := strings.CutPrefix(path, p.path+"/")
		if !ok || strings.Contains(name, "/") || !strings.HasPrefix(name, p.prefix) || strings.HasPrefix(name, ".") {
			continue
		}
		if p.rule.Path.Uses("HOME") || p.rule.Path.Uses("USER") || p.rule.Path.Uses("UID") {
			return fmt.Errorf("%s: its polydir varies by user: set owner and mode by hand", path)
		}
		polydir, err := p.rule.Path.Expand(config.Vars{})
		if err != nil {
			return err
		}
		rule := polyinst.Rule{Config: p.rule, Path: polydir, Parent: p.path, Prefix: p.prefix}
		if err := apply.Repair(rule, name); err != nil {
			return err
		}
		fmt.Printf("repaired %s\n", path)
		return nil
	}
	return errors.New(path + ": is no instance of a polydir of the configuration")
}
