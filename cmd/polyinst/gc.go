package main

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/config"
	"pam_polyinst/internal/reap"
)

func gcCommand() *cobra.Command {
	var conf, olderThan string
	var asJSON bool
	var options reap.Options
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "remove the instances that no session uses any more",
		Long: `Gc removes tmpdir instances whose session has ended, what a crash left half
made, and the records of namespaces that are gone. It never touches what a
session uses. A persistent instance goes only by --orphans, if its account is
gone, or by --older-than, if nobody has opened it for so long: the data in it
with it. Look first, with --dry-run.`,
		Example: `  polyinst gc --dry-run
  polyinst gc --orphans --dry-run
  polyinst gc --older-than 90d --dry-run`,
		Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := needUID0("gc"); err != nil {
				return err
			}
			if cmd.Flags().Changed("older-than") {
				var err error
				if options.OlderThan, err = parseAge(olderThan); err != nil {
					return usageError{fmt.Errorf("--older-than: %w", err)}
				}
			}
			return gc(conf, options, asJSON)
		},
	}
	confFlag(cmd, &conf)
	cmd.Flags().BoolVar(&options.DryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().BoolVar(&options.Orphans, "orphans", false, "also persistent instances whose account is gone")
	cmd.Flags().StringVar(&olderThan, "older-than", "", "also persistent instances that nobody opened for an `AGE` such as 90d")
	jsonFlag(cmd, &asJSON)
	return cmd
}

// parseAge reads a number of hours, days or weeks.
func parseAge(text string) (time.Duration, error) {
	units := map[byte]time.Duration{'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour}
	wrong := fmt.Errorf("%q is no age: want a number and h, d or w, such as 90d", text)
	if text == "" {
		return 0, wrong
	}
	unit, ok := units[text[len(text)-1]]
	n, err := strconv.ParseUint(text[:len(text)-1], 10, 16)
	if !ok || err != nil || n == 0 {
		return 0, wrong
	}
	return time.Duration(n) * unit, nil
}

// collected is the schema of gc --json.
type collected struct {
	Schema  int       `json:"schema"`
	DryRun  bool      `json:"dry_run"`
	Removed []verdict `json:"removed"` // or, in a dry run, what would be
	Kept    []verdict `json:"kept"`
}

type verdict struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

func gc(conf string, options reap.Options, asJSON bool) error {
	c, _, broken := load(conf, true)
	if broken != nil {
		// what live records name can be collected all the same
		if !errors.Is(broken, errReported) {
			fmt.Fprintln(os.Stderr, "polyinst:", words(broken))
		}
		fmt.Fprintln(os.Stderr, "polyinst: without a configuration only the parents of recorded sessions are looked at")
		c = &config.Config{}
	}
	out := collected{Schema: schema, DryRun: options.DryRun, Removed: []verdict{}, Kept: []verdict{}}
	verb := "removed"
	if options.DryRun {
		verb = "would remove"
	}
	progress := newProgress("removing", 0)
	say := func(format string, args ...any) {
		progress.hide()
		if !asJSON {
			fmt.Printf(format, args...)
		}
	}
	options.Begin = func(total int) { progress.total = total }
	options.Progress = progress.entry
	options.Removed = func(path, why string) {
		out.Removed = append(out.Removed, verdict{path, why})
		say("%s %s: %s\n", verb, plain(path), why)
		progress.instance()
	}
	options.Kept = func(path, why string) {
		out.Kept = append(out.Kept, verdict{path, why})
		say("kept %s: %s\n", plain(path), why)
	}
	var where []reap.Parent
	for _, p := range parents(c, false) {
		where = append(where, reap.Parent{Path: p.path, Prefix: p.prefix})
	}
	err := reap.Collect(where, options)
	progress.hide()
	if asJSON {
		err = errors.Join(err, printJSON(out))
	} else {
		say("%s: %s, %d kept\n", map[bool]string{false: "removed", true: "to be removed"}[options.DryRun], number(len(out.Removed), "instance"), len(out.Kept))
	}
	if err != nil {
		return err
	}
	if broken != nil {
		return errReported
	}
	return nil
}
