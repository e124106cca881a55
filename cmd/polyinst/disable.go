package main

import (
	"errors"
	"fmt"
	"log/syslog"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/cmd/polyinst/internal/program"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/core/shellword"
	"pam_polyinst/internal/kernel/dirfd"
)

func disableCommand() *cobra.Command {
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "disable SERVICE...",
		Short: "take the line out of PAM stacks",
		Long: `Disable puts the files of each SERVICE back as they were before "polyinst
enable"; from a file that was changed since, or not by it, only our lines are
taken out. Instances and the configuration stay.`,
		Example: `  polyinst disable su
  polyinst disable --dry-run sshd su
  polyinst disable cron sshd su       all that "polyinst status" lists`,
		Args: someServices,
		RunE: func(_ *cobra.Command, args []string) error {
			if err := needRoot("disable"); err != nil {
				return err
			}
			return disable(args, dryRun)
		},
	}
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be changed")
	quietFlag(cmd)
	return cmd
}

func disable(services []string, dryRun bool) error {
	stacks, err := readStacks(pamDir)
	if err != nil {
		return err
	}
	if err := knownServices(stacks, services); err != nil {
		return err
	}
	if !dryRun {
		if err := settle(); err != nil {
			return err
		}
		if stacks, err = readStacks(pamDir); err != nil {
			return err
		}
	}
	changes, elsewhere := stacks.Disable(services)
	if err := mayTakeOut(stacks, changes, services, elsewhere); err != nil {
		return err
	}
	if changes, err = exactly(changes); err != nil {
		return err
	}
	ended := affected(stacks, changes)
	sayWithoutLine(services, changes, ended)
	for _, c := range changes {
		showDiff(c)
	}
	if dryRun || len(changes) == 0 {
		return nil
	}
	after := stacks.With(changes)
	if err := rootGetsIn(stacks, after, ended); err != nil {
		return err
	}
	before, _ := readNote()
	c, _, _, _ := read("", true)
	if err := takeOut(changes); err != nil {
		return err
	}
	list := strings.Join(names(changes), ", ")
	logged(syslog.LOG_NOTICE, "disabled: %s", list)
	fmt.Fprintf(stdout, "disabled: %s\n", list)
	if before.Begun != nil && absent(before.Begun.Path) {
		fmt.Fprintf(stdout, "removed %s\n", plain(before.Begun.Path))
	}
	if len(pamstack.Services(after)) == 0 {
		sayWhatStays(c)
	}
	return nil
}

// sayWithoutLine names the services that have no line that could be taken out.
func sayWithoutLine(services []string, changes []pamstack.Change, ended []string) {
	for _, name := range services {
		switch {
		case slices.Contains(names(changes), name):
		case slices.Contains(ended, name):
			fmt.Fprintf(stdout, "%s has no line of its own: it ends with that of another\n", plain(name))
		default:
			fmt.Fprintf(stdout, "%s has no line\n", plain(name))
		}
	}
}

// rootGetsIn rehearses root by the services that lose the line. A line less shuts
// nobody out, unless it is the only one that there was.
func rootGetsIn(before, after pamstack.Dir, services []string) error {
	for _, service := range services {
		if !slices.Contains(often, service) {
			continue
		}
		if r, _, err := judge(before, after, service, "root"); err != nil || !r.Opened {
			return errors.Join(err, fmt.Errorf("root by %s is refused without the line, and nothing is changed: %s", service, r.Error))
		}
	}
	return nil
}

// sayWhatStays names the instance parents of a configuration that no service uses
// any more.
func sayWhatStays(c *config.Config) {
	if c == nil {
		return
	}
	var stay []string
	for _, p := range parents(c, true) {
		if !absent(p.path) && !slices.Contains(stay, plain(p.path)) {
			stay = append(stay, plain(p.path))
		}
	}
	if len(stay) > 0 {
		fmt.Fprintf(stdout, "what sessions have written stays: %s\n", strings.Join(stay, ", "))
	}
}

// mayTakeOut refuses where a line is another program's to write, or stands in a
// file that other services include.
func mayTakeOut(stacks pamstack.Dir, changes []pamstack.Change, services []string, elsewhere map[string]pamstack.Entry) error {
	for _, c := range changes {
		if pos, ok := stacks[c.Name].InBlock(); ok {
			return byProfile(pos)
		}
		if vendor := c.From != pamDir+"/"+c.Name; vendor {
			return fmt.Errorf("%s is the vendor's: copy it to %s, and take the line out there", c.From, pamDir)
		}
		link, as, err := linkOf(c)
		if err != nil {
			return err
		}
		if why := link.Keeps(c.From, as); why != "" {
			return errors.New(why)
		}
	}
	for _, name := range services {
		e, ok := elsewhere[name]
		if !ok {
			continue
		}
		_, file, _ := strings.Cut(e.Pos.File, pamDir+"/")
		if pos, ok := stacks[file].InBlock(); ok && pos == e.Pos {
			return byProfile(pos)
		}
		return fmt.Errorf("%s has its line by %s, which is for these services: %s: `polyinst disable %s` takes it from all of them",
			plain(name), e.Pos, strings.Join(stacks.Reaching([]string{file}), ", "), shellword.Quote(file))
	}
	return nil
}

func byProfile(line pamstack.Pos) error {
	return fmt.Errorf("%s is written by pam-auth-update: pam-auth-update --disable polyinst takes it out", line)
}

// settle takes back what nobody waits for, and forgets what is no more.
func settle() error {
	k, err := keep(false)
	if err != nil {
		return err
	}
	defer k.close()
	return errors.Join(sayTakenBack(k), k.tidy())
}

// settleAtBoot is settle where there is something to settle.
func settleAtBoot() {
	dir, err := kept()
	if dirfd.IsNotExist(err) {
		return
	}
	dir.Close()
	if err := errors.Join(err, settle()); err != nil {
		tell("%v", err)
	}
}

// exactly is what restore will do of the changes: a file that is as enable wrote it
// becomes what it was.
func exactly(changes []pamstack.Change) ([]pamstack.Change, error) {
	n, err := readNote()
	if err != nil {
		return nil, err
	}
	k := &keeper{note: n}
	for i, c := range changes {
		switch f := k.find(c.Name); {
		case f == nil || f.New != digestOf(c.Old):
		case f.Absent:
			changes[i].New = vendorText(c.Name)
		default:
			if changes[i].New, err = keptFile(c.Name); err != nil {
				return nil, err
			}
		}
	}
	return changes, nil
}

// vendorText is the file that counts where /etc/pam.d has none.
func vendorText(name string) []byte {
	for _, dir := range vendorPAM {
		if text, err := os.ReadFile(dir + "/" + name); err == nil {
			return text
		}
	}
	return nil
}

// takeOut restores the files, if they are still as they were read.
func takeOut(changes []pamstack.Change) error {
	k, err := keep(false)
	if err != nil {
		return err
	}
	defer k.close()
	for _, c := range changes {
		if now, err := readIn(k.pam, c.Name); err != nil || string(now) != string(c.Old) {
			return errors.Join(err, changedMeanwhile(c))
		}
	}
	return program.Undisturbed(func() error { return k.restore(names(changes), func(string) {}) })
}
