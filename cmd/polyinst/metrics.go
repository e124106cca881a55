package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pam_polyinst/cmd/polyinst/internal/modulelog"
	"pam_polyinst/cmd/polyinst/internal/pamstack"
	"pam_polyinst/internal/core/config"
	"pam_polyinst/internal/gc"
	"pam_polyinst/internal/kernel/dirfd"
	"pam_polyinst/internal/kernel/wire"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/live"
)

func metricsCommand() *cobra.Command {
	var conf, output string
	var sizes bool
	cmd := &cobra.Command{
		Use:   "metrics",
		Short: "print numbers for Prometheus",
		Long: `Metrics prints what list shows as numbers in Prometheus' text format, for the
textfile collector of the node exporter. polyinst_config_problems counts what
refuses sessions, as check does. Where the configuration itself is broken, of
instances nothing is said.`,
		Example: `  polyinst metrics
  polyinst metrics --sizes
  polyinst metrics --output /var/lib/prometheus/node-exporter/polyinst.prom`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			if err := needUID0("metrics"); err != nil {
				return err
			}
			text, faults, err := metrics(conf, sizes)
			if err != nil {
				return err
			}
			if output == "" {
				_, err = fmt.Fprint(stdout, text)
			} else {
				err = replace(output, text, 0o644)
			}
			return errors.Join(err, faults)
		},
	}
	confFlag(cmd, &conf)
	cmd.Flags().BoolVar(&sizes, "sizes", false, "also sum up what the instances take, which reads all of them")
	cmd.Flags().StringVar(&output, "output", "", "replace `FILE` in one step")
	return cmd
}

// family is one metric with its values.
type family struct {
	name, help string
	values     map[string]float64 // by labels
}

func (f family) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", f.name, f.help, f.name)
	var labels []string
	for l := range f.values {
		labels = append(labels, l)
	}
	sort.Strings(labels)
	for _, l := range labels {
		fmt.Fprintf(&b, "%s%s %s\n", f.name, l, strconv.FormatFloat(f.values[l], 'f', -1, 64))
	}
	return b.String()
}

// label is {name="value",...}.
func label(pairs ...string) string {
	escape := strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	var parts []string
	for i := 0; i < len(pairs); i += 2 {
		parts = append(parts, pairs[i]+`="`+escape.Replace(pairs[i+1])+`"`)
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// one is a metric with one value, and no labels.
func one(name, help string, value int) family {
	return family{name, help, map[string]float64{"": float64(value)}}
}

// metrics are the numbers, and what is wrong with the machine so that some are
// too low: one parent that cannot be looked at hides nothing of the others.
func metrics(conf string, sizes bool) (numbers string, faults, err error) {
	all, err := namespaces()
	if err != nil {
		return "", nil, err
	}
	stacks, err := readStacks(pamDir)
	if err != nil {
		return "", nil, err
	}
	c, files, found, err := read(conf, true)
	broken := err != nil || len(found) > 0
	problems, lastGood := max(len(found), 1), 0 // a file that cannot be read is one
	if broken {
		lastGood = onLastGood(stacks, conf, files.Main.Name)
	} else if problems, err = refusals(c, files, conf); err != nil {
		return "", nil, err
	}
	if !broken {
		problems += len(domainRemarks(c, files.Main.Name, stacks))
	}
	problems += otherProblems(stacks, files.Main.Name)
	out := append([]family{buildInfo()}, inSession(all)...)
	out = append(out,
		one("polyinst_config_problems", "Errors that polyinst check finds in the configuration and on the machine; sessions are refused unless it is 0.", problems),
		one("polyinst_last_good_in_use", "Services whose sessions get the last good configuration, because the present one is broken.", lastGood))
	out = append(append(append(out, standing(stacks)...), lastHour(time.Now())...), lastRuns()...)
	if !broken {
		var disk []family
		if disk, faults, err = onDisk(c, sizes); err != nil {
			return "", nil, err
		}
		out = append(out, disk...)
	}
	return text(out), faults, nil
}

// inSession is what lives.
func inSession(all []live.Namespace) []family {
	workers := family{"polyinst_namespaces_opened", "Live private namespaces by what opened them: a ready worker, or a forked one.", map[string]float64{}}
	for _, by := range []string{"ready", "forked", "unknown"} {
		workers.values[label("by", by)] = 0
	}
	processes, users := 0, map[string]bool{}
	for _, n := range all {
		workers.values[label("by", opener(n))]++
		processes += len(n.PIDs)
		users[n.User] = true
	}
	return []family{
		one("polyinst_namespaces", "Live private namespaces.", len(all)),
		workers,
		one("polyinst_users", "Users with a live private namespace.", len(users)),
		one("polyinst_processes", "Processes in private namespaces.", processes),
	}
}

// onDisk is what lies in the instance parents, and in which that could not be seen.
func onDisk(c *config.Config, sizes bool) (out []family, faults, err error) {
	missing, unseen := 0, 0
	for _, p := range parents(c, true) {
		if absent(p.path) {
			missing++
		}
	}
	where := parentsOf(c)
	var errs []error
	instances, err := gc.Instances(where, func(path string, err error) {
		unseen++
		if why, ok := observe.IsUsersDoing(err); ok {
			sayLeftOut(path, why)
		} else {
			errs = append(errs, err)
		}
	})
	if err != nil {
		return nil, nil, err
	}
	out = append([]family{
		one("polyinst_parents_missing", "Instance parents that do not exist: sessions are refused until polyinst prepare has made them.", missing),
		one("polyinst_parents_left_out", "Instance parents that could not be looked at.", unseen),
	}, ofInstances(where, instances)...)
	if sizes {
		out = append(out, taken(where, instances))
	}
	return out, errors.Join(errs...), nil
}

// ofInstances is how many instances there are, and how full their quotas.
func ofInstances(where []gc.Parent, all []gc.Instance) []family {
	count := family{"polyinst_instances", "Instances on the disk.", map[string]float64{}}
	for _, p := range where {
		for _, s := range []gc.State{gc.InUse, gc.Idle, gc.Stale, gc.Foreign, gc.Unknown} {
			count.values[label("parent", p.Path, "state", stateName(s))] = 0
		}
	}
	quota := family{"polyinst_quota_used_ratio", "Of the instances with a quota, how much of it the fullest one has used.", map[string]float64{}}
	for _, i := range all {
		count.values[label("parent", i.Parent, "state", stateName(i.State))]++
		if i.Quota == nil {
			continue
		}
		for of, used := range map[string]float64{"bytes": ratio(i.Quota.UsedBytes, i.Quota.Bytes), "inodes": ratio(i.Quota.UsedInodes, i.Quota.Inodes)} {
			l := label("parent", i.Parent, "of", of)
			quota.values[l] = max(quota.values[l], used)
		}
	}
	return []family{count, quota}
}

// taken sums up what the instances take.
func taken(where []gc.Parent, all []gc.Instance) family {
	bytes := family{"polyinst_instance_bytes", "What the instances take on the disk.", map[string]float64{}}
	for _, p := range where {
		bytes.values[label("parent", p.Path)] = 0
	}
	progress := newProgress("summing up", len(all))
	defer progress.hide()
	for _, i := range all {
		u, err := i.Usage(progress.entry)
		progress.instance()
		if err != nil {
			continue // it is gone by now
		}
		bytes.values[label("parent", i.Parent)] += float64(u.Bytes)
	}
	return bytes
}

// buildInfo names what runs here.
func buildInfo() family {
	return family{"polyinst_build_info", "1; the labels name this command's version, and the build that the module must have to be served.",
		map[string]float64{label("version", version, "build", wire.Build, "go", runtime.Version()): 1}}
}

// otherProblems counts the main files that our lines name beside this one, and that refuse
// sessions.
func otherProblems(stacks pamstack.Dir, main string) (n int) {
	seen := []string{"", main}
	for _, c := range pamstack.Covers(stacks) {
		if c.Line == nil || slices.Contains(seen, confOf(*c.Line)) {
			continue
		}
		seen = append(seen, confOf(*c.Line))
		if confProblem(confOf(*c.Line)) != "" {
			n++
		}
	}
	return n
}

// standing is whether the module and what serves it are there.
func standing(stacks pamstack.Dir) []family {
	m := inspectModule(moduleOf(stacks))
	loads := 0
	if m.File != "" && m.Problem == "" {
		loads = 1
	}
	served := 0
	if yes, _ := m.served(); yes {
		served = 1
	}
	return []family{
		one("polyinst_services", "PAM services with our line.", len(pamstack.Services(stacks))),
		one("polyinst_module_loads", "1: libpam finds the module, whole.", loads),
		one("polyinst_served", "1: ready workers are listened for, by the module's own build; 0: every session forks its worker.", served),
	}
}

// onLastGood counts the services with config_error=last-good for a configuration that
// is broken, if one was kept.
func onLastGood(stacks pamstack.Dir, conf, main string) int {
	if _, err := observe.LastGood(main); err != nil {
		return 0
	}
	n := 0
	for _, service := range pamstack.Services(stacks) {
		entry, _, _ := stacks.SessionLine(service)
		args, err := config.ParseArgs(entry.Args)
		if err == nil && args.LastGood && args.Conf == conf {
			n++
		}
	}
	return n
}

// lastHour is what the log says of sessions. Users can write to the log, too, in any
// words: so the labels are ours alone.
func lastHour(now time.Time) []family {
	sessions := family{"polyinst_sessions_last_hour", "Sessions of the last hour by what became of them, as the log says.", map[string]float64{}}
	refused := family{"polyinst_refused_last_hour", "Sessions that were refused or rescued in the last hour, by what the reason is about.", map[string]float64{}}
	for _, k := range []modulelog.Kind{modulelog.Opened, modulelog.Refused, modulelog.Rescued} {
		sessions.values[label("outcome", string(k))] = 0
	}
	for _, s := range modulelog.Subjects {
		refused.values[label("reason", string(s))] = 0
	}
	from := sessionLog(now.Add(-time.Hour), false, func(e modulelog.Entry) bool {
		sessions.values[label("outcome", string(e.Kind))]++
		if e.Kind != modulelog.Opened {
			refused.values[label("reason", string(modulelog.About(e.Reason)))]++
		}
		return true
	})
	readable := func(is int) family {
		return one("polyinst_log_readable", "1: the log tells of all sessions of the last hour that it has; 0: there is none, or it is too long to be read, and there were more.", is)
	}
	if from.name == "" {
		return []family{readable(0)}
	}
	if reach := from.reach(now.Add(-time.Hour)); reach != nil && reach.cut {
		return []family{readable(0), sessions, refused}
	}
	return []family{readable(1), sessions, refused}
}

// lastRuns is when gc and prepare ended last, and whether well; of one that never ran
// nothing is said.
func lastRuns() []family {
	when := family{"polyinst_last_run_timestamp_seconds", "When the command ended last.", map[string]float64{}}
	well := family{"polyinst_last_run_success", "1: the command came to its end without a problem then.", map[string]float64{}}
	for command, file := range map[string]string{"gc": lastGCFile, "prepare": lastPrepareFile} {
		if last := new(lastRun); readLastRun(file, last) {
			when.values[label("command", command)] = float64(last.At.Unix())
			well.values[label("command", command)] = 0
			if last.Error == "" {
				well.values[label("command", command)] = 1
			}
		}
	}
	return []family{when, well}
}

// ratio is 0 where nothing is limited.
func ratio(used, limit uint64) float64 {
	if limit == 0 {
		return 0
	}
	return float64(used) / float64(limit)
}

// opener is in a word what opened a session; "unknown" of an older version's.
func opener(n live.Namespace) string {
	by, _, _ := strings.Cut(n.Worker, ":")
	if by == "" {
		return "unknown"
	}
	return by
}

func stateName(s gc.State) string { return strings.ReplaceAll(string(s), " ", "_") }

func text(all []family) string {
	var b strings.Builder
	for _, f := range all {
		b.WriteString(f.String())
	}
	return b.String()
}

// replace puts a text into a file in one step: who reads it never sees half.
func replace(path, text string, mode fs.FileMode) error {
	// the other name by which it is written says nothing to anybody
	failed := func(err error) error { return fmt.Errorf("replace %s: %s", path, dirfd.Errno(err)) }
	f, err := os.CreateTemp(filepath.Dir(path), ".polyinst.")
	if err != nil {
		return failed(err)
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return failed(err)
	}
	return nil
}
