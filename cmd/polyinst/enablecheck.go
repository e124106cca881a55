package main

import (
	_ "embed"
	"fmt"
	"slices"

	"github.com/aymanbagabas/go-udiff"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/plan"
)

// checked asks the code of check for what speaks against the change, and makes the
// instance parents.
func (e *enabling) checked() error {
	if err := e.configured(); err != nil {
		return err
	}
	c, files := e.config, e.files
	stacks := e.concerned(checkStacks(c, files.Main.Name, pamDir, e.after))
	if clash := plan.Clash(c); clash != nil {
		stacks = append(stacks, at(config.Position{File: files.Main.Name}, pamstack.Error, "%v", clash))
	}
	remarks := append(stacks, checkLists(c)...)
	if e.dryRun {
		for _, p := range parents(c, true) {
			if absent(p.path) {
				fmt.Fprintf(stdout, "would make %s\n", plain(p.path))
			}
		}
	} else if !faulty(remarks) {
		if err := prepare(c, false); err != nil {
			return err
		}
		remarks = append(remarks, e.concerned(domainRemarks(c, files.Main.Name, e.after))...) // of what it has made
	}
	machine, err := checkMachine(c, files, e.conf)
	if err != nil {
		return err
	}
	remarks = append(remarks, machine...)
	if e.dryRun {
		remarks = slices.DeleteFunc(remarks, func(r remark) bool { return r.prepares })
	}
	for _, r := range remarks {
		if r.Level != pamstack.Note {
			r.tell()
		}
	}
	if faulty(remarks) {
		return errReported
	}
	return nil
}

// configured reads the configuration, which must have a polydir.
func (e *enabling) configured() error {
	var err error
	e.config, e.files, err = load(e.conf, true)
	if err != nil {
		return err
	}
	if len(e.config.Polydirs) > 0 {
		return nil
	}
	if e.tmp && e.dryRun {
		fmt.Fprintf(stdout, "would write %s\n", e.dropin())
		e.files.Dropins = append(e.files.Dropins, config.Source{Name: e.dropin(), Data: []byte(beginningTmp)})
		e.config, _ = config.Parse(e.files.Main, e.files.Dropins)
		return nil
	}
	return fmt.Errorf("%s has no polydir, and sessions would be as they are: `polyinst edit`, or `polyinst enable --tmp` with these services begins with a private /tmp", e.files.Main.Name)
}

// names are those of the files that are changed.
func names(changes []pamstack.Change) []string {
	var out []string
	for _, c := range changes {
		out = append(out, c.Name)
	}
	return out
}

// affected are the services whose sessions change: the named ones, and those that
// include their files.
func affected(stacks pamstack.Dir, changes []pamstack.Change) []string {
	own := names(changes)
	return slices.Compact(slices.Sorted(slices.Values(append(stacks.Reaching(own), own...))))
}

// concerned leaves out what is not about a service that is named, or that changes with
// it: other faults are not in the way.
func (e *enabling) concerned(all []remark) []remark {
	services := append(affected(e.after, e.changes), e.covered...)
	return slices.DeleteFunc(all, func(r remark) bool { return !slices.Contains(services, r.service) })
}

func (e *enabling) show() {
	for _, c := range e.changes {
		showDiff(c)
	}
}

// showDiff shows what becomes of a file.
func showDiff(c pamstack.Change) {
	fmt.Fprint(stdout, udiff.Unified(c.From, pamDir+"/"+c.Name, string(c.Old), string(c.New)))
}
