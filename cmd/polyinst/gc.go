package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/apply"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/gc"
	"pam_polyinst/internal/observe"
)

func gcCommand() *cobra.Command {
	var conf, olderThan, orphanedFor, filesOlder string
	var files time.Duration
	var asJSON bool
	var options gc.Options
	cmd := &cobra.Command{
		Use:   "gc",
		Short: "remove the instances that no session uses any more",
		Long: `Gc removes tmpdir instances of sessions that have ended, what a crash left half
made, and old records; never what a session uses. Persistent instances, with
their data, it removes by --orphans (the account is gone) and --older-than only.`,
		Example: `  polyinst gc
  polyinst gc --orphans --dry-run
  polyinst gc --files-older-than 10d`,
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
			for _, flag := range []string{"orphaned-for", "reused-uids", "yes"} {
				if cmd.Flags().Changed(flag) && !options.Orphans {
					return usageError{fmt.Errorf("--%s: only with --orphans", flag)}
				}
			}
			if orphanedFor != "0d" { // gone just now
				var err error
				if options.OrphanedFor, err = parseAge(orphanedFor); err != nil {
					return usageError{fmt.Errorf("--orphaned-for: %w", err)}
				}
			}
			if cmd.Flags().Changed("files-older-than") {
				var err error
				if files, err = parseAge(filesOlder); err != nil {
					return usageError{fmt.Errorf("--files-older-than: %w", err)}
				}
			}
			return collect(conf, options, files, asJSON)
		},
	}
	confFlag(cmd, &conf)
	cmd.Flags().BoolVar(&options.DryRun, "dry-run", false, "only say what would be removed")
	cmd.Flags().BoolVar(&options.Orphans, "orphans", false, "also persistent instances whose account is gone")
	cmd.Flags().StringVar(&orphanedFor, "orphaned-for", "30d", "with --orphans: unopened for `AGE`")
	cmd.Flags().BoolVar(&options.Reused, "reused-uids", false, "with --orphans: also if the uid is reused")
	cmd.Flags().BoolVar(&options.Many, "yes", false, "with --orphans: even if they are many")
	cmd.Flags().StringVar(&olderThan, "older-than", "", "also instances unopened for an `AGE`, as 90d")
	cmd.Flags().StringVar(&filesOlder, "files-older-than", "", "also old files, which nobody used for an `AGE`")
	jsonFlag(cmd, &asJSON)
	quietFlag(cmd)
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
	LeftOut []verdict `json:"left_out"` // parents that their users keep us from looking at
	Aged    []aged    `json:"aged"`     // instances in which there was something old
}

type aged struct {
	Path    string `json:"path"`
	Entries int    `json:"entries"`
}

type verdict struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

func collect(conf string, options gc.Options, files time.Duration, asJSON bool) error {
	c, _, broken := load(conf, true)
	if broken != nil {
		// what live records name can be collected all the same
		if !errors.Is(broken, errReported) {
			fmt.Fprintln(os.Stderr, "polyinst:", words(broken))
		}
		fmt.Fprintln(os.Stderr, "polyinst: without a configuration only the parents of recorded sessions are looked at")
		c = &config.Config{}
	}
	where, out := parentsOf(c), newCollecting(options.DryRun, asJSON)
	out.tellOf(&options)
	err := gc.Collect(where, options)
	if files > 0 {
		err = errors.Join(err, gc.Age(where, files, options.DryRun, out.progress.entry, out.age, func(_ string, err error) {
			// what a user did was told by Collect
			if _, ok := observe.IsUsersDoing(err); !ok {
				fmt.Fprintln(os.Stderr, "polyinst:", words(err))
			}
		}))
	}
	out.progress.hide()
	if !options.DryRun {
		noteRun("gc", lastGCFile, lastGC{ended(err), len(out.Removed)})
	}
	if err = errors.Join(err, out.sum()); err != nil {
		return err
	}
	if broken != nil {
		return errReported
	}
	return nil
}

// collecting tells what gc does, as it is done, and notes it for the end.
type collecting struct {
	collected
	asJSON   bool
	verb     string
	progress *progress
}

func newCollecting(dryRun, asJSON bool) *collecting {
	out := &collecting{asJSON: asJSON, verb: "removed", progress: newProgress("removing", 0),
		collected: collected{Schema: schema, DryRun: dryRun, Removed: []verdict{}, Kept: []verdict{}, LeftOut: []verdict{}, Aged: []aged{}}}
	if dryRun {
		out.verb = "would remove"
	}
	return out
}

func (c *collecting) say(format string, args ...any) {
	c.progress.hide()
	if !c.asJSON {
		fmt.Fprintf(stdout, format, args...)
	}
}

// tellOf has gc tell what becomes of each instance and parent.
func (c *collecting) tellOf(options *gc.Options) {
	options.Begin = func(total int) { c.progress.total = total }
	options.Progress = c.progress.entry
	options.Removed = func(path, why string) {
		c.Removed = append(c.Removed, verdict{path, why})
		c.say("%s %s: %s\n", c.verb, plain(path), why)
		c.progress.instance()
	}
	options.Kept = func(path, why string) {
		c.Kept = append(c.Kept, verdict{path, why})
		c.say("kept %s: %s\n", plain(path), why)
	}
	options.LeftOut = func(path, why string) {
		c.LeftOut = append(c.LeftOut, verdict{path, why})
		c.progress.hide()
		sayLeftOut(path, why)
	}
}

func (c *collecting) age(path string, entries int) {
	c.Aged = append(c.Aged, aged{path, entries})
	c.say("%s %s of %s\n", c.verb, number(entries, "old entry"), plain(path))
}

// sum ends the output: with all of it as JSON, or with a line of numbers.
func (c *collecting) sum() error {
	if c.asJSON {
		return printJSON(c.collected)
	}
	c.say("%s: %s, %d kept\n", map[bool]string{false: "removed", true: "to be removed"}[c.DryRun], number(len(c.Removed), "instance"), len(c.Kept))
	return nil
}

// lastRun is what is known of the last run of a command, for status and metrics.
type lastRun struct {
	At    time.Time `json:"at"`
	Error string    `json:"error"` // empty: it came to its end
}

// lastGC is that of gc.
type lastGC struct {
	lastRun
	Removed int `json:"removed"`
}

const (
	lastGCFile      = "last-gc.json"
	lastPrepareFile = "last-prepare.json"
)

// ended is a run that ends now.
func ended(err error) lastRun {
	last := lastRun{At: time.Now().Truncate(time.Second)}
	if err != nil {
		last.Error = cmp.Or(words(err), "it had a problem, told on standard error")
	}
	return last
}

// noteRun keeps what a run has done. That it cannot is said, and is no failure of the
// run.
func noteRun(command, file string, last any) {
	raw, err := json.Marshal(last)
	if err == nil {
		err = apply.KeepState(observe.StateDir, file, append(raw, '\n'))
	}
	if err != nil {
		tell("that %s has run is not kept: %s", command, words(err))
	}
}

// readLastRun reads it; false: the command has never run.
func readLastRun(file string, last any) bool {
	raw, err := os.ReadFile(observe.StateDir + "/" + file)
	return err == nil && json.Unmarshal(raw, last) == nil
}

// parentsOf are the instance parents of the configuration.
func parentsOf(c *config.Config) []gc.Parent {
	var out []gc.Parent
	for _, p := range parents(c, false) {
		out = append(out, gc.Parent{Path: p.path, Prefix: p.prefix})
	}
	return out
}

// sayLeftOut tells of a parent in a home that its user keeps us from looking
// at. It is no failure: they could make every run of root's fail.
func sayLeftOut(path, why string) {
	fmt.Fprintf(os.Stderr, "polyinst: instance parent %s is left out: %s\n", plain(path), printable(why))
}
