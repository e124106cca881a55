package main

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"pam_polyinst/internal/gc"
	"pam_polyinst/internal/kernel/nss"
	"pam_polyinst/internal/observe"
	"pam_polyinst/internal/sessions/live"
	"pam_polyinst/internal/sessions/record"
)

func listCommand() *cobra.Command {
	var conf string
	var instances, asJSON, sizes bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "show the live private namespaces, or all instances",
		Long: `List shows the namespaces of ours in which processes are: whose, since when,
and which instance stands for which directory. With --instances, what lies in
the instance parents of the configuration, whether a session uses it or not.`,
		Example: `  polyinst list
  polyinst list --json | jq '.namespaces[] | select(.user == "alice") | .pids'
  polyinst list --instances
  polyinst list --instances --sizes=false     where there is much to sum up`,
		Args: none,
		RunE: func(*cobra.Command, []string) error {
			if err := needUID0("list"); err != nil {
				return err
			}
			if !instances {
				return listNamespaces(asJSON)
			}
			return listInstances(conf, sizes, asJSON)
		},
	}
	confFlag(cmd, &conf)
	cmd.Flags().BoolVar(&instances, "instances", false, "every instance on the disk")
	cmd.Flags().BoolVar(&sizes, "sizes", true, "with --instances: sum up what each takes")
	jsonFlag(cmd, &asJSON)
	return cmd
}

func jsonFlag(cmd *cobra.Command, asJSON *bool) {
	cmd.Flags().BoolVar(asJSON, "json", false, "print JSON, as polyinst(8) describes it")
}

// namespaceJSON and the types below are the schema of list --json.
type namespaceJSON struct {
	Namespace uint64 `json:"namespace"`
	User      string `json:"user"`
	UID       uint32 `json:"uid"`
	Service   string `json:"service"`
	TTY       string `json:"tty"`
	RHost     string `json:"rhost"`
	Since     string `json:"since"`
	Scope     string `json:"scope"`
	// what opened it: "ready", or "forked" and why no ready worker did
	Worker   string        `json:"worker"`
	PIDs     []int         `json:"pids"`
	Polydirs []polydirJSON `json:"polydirs"`
}

type polydirJSON struct {
	Path     string  `json:"path"`
	Method   string  `json:"method"`
	Instance *string `json:"instance"` // null: it has no path in the host's view
	Covered  bool    `json:"covered"`
	// entries of the public directory that are mounted in the instance
	Keep []string `json:"keep"`
}

func namespaces() ([]live.Namespace, error) {
	store, err := record.Open()
	if err != nil {
		return nil, err
	}
	defer store.Close()
	return live.Namespaces(store, func(err error) { fmt.Fprintln(os.Stderr, "polyinst:", words(err)) })
}

func listNamespaces(asJSON bool) error {
	all, err := namespaces()
	if err != nil {
		return err
	}
	if asJSON {
		out := []namespaceJSON{}
		for _, n := range all {
			out = append(out, toJSON(n))
		}
		return printJSON(struct {
			Schema     int             `json:"schema"`
			Namespaces []namespaceJSON `json:"namespaces"`
		}{schema, out})
	}
	if len(all) == 0 {
		fmt.Fprintln(os.Stderr, "polyinst: no process is in a private namespace")
		return nil
	}
	t := table{head: []string{"USER", "SERVICE", "SINCE", "SCOPE", "PID", "PROCS", "WORKER", "POLYDIR", "INSTANCE"}}
	for _, n := range all {
		j := toJSON(n)
		who := []string{plain(j.User), plain(j.Service), since(n.Opened), j.Scope, strconv.Itoa(n.PIDs[0]), strconv.Itoa(len(n.PIDs)), worker(n)}
		for _, p := range j.Polydirs {
			instance := p.Method
			if p.Instance != nil {
				instance = plain(*p.Instance)
			}
			if len(p.Keep) > 0 {
				instance += " with " + plain(strings.Join(p.Keep, " "))
			}
			if !p.Covered {
				instance += " (not shown there any more)"
			}
			t.add(append(who, plain(p.Path), instance)...)
			who = append(who[:1:1], make([]string, len(who)-1)...)
		}
	}
	t.print()
	return nil
}

func toJSON(n live.Namespace) namespaceJSON {
	j := namespaceJSON{Namespace: uint64(n.NS), User: n.User, UID: n.UID, Service: n.Service, TTY: n.TTY, RHost: n.RHost,
		Since: time.Unix(n.Opened, 0).UTC().Format(time.RFC3339), Scope: scope(n), Worker: n.Worker, PIDs: n.PIDs, Polydirs: []polydirJSON{}}
	kept := n.Kept()
	for i, p := range n.Polydirs {
		out := polydirJSON{Path: p.Path, Method: p.Method, Covered: n.Covered[i], Keep: append([]string{}, kept[i]...)}
		if host := p.OnHost(); host != "" {
			out.Instance = &host
		}
		j.Polydirs = append(j.Polydirs, out)
	}
	return j
}

func scope(n live.Namespace) string {
	if n.View != "" {
		return "user"
	}
	return "session"
}

// worker is what opened the namespace, without the reason, which --json has.
func worker(n live.Namespace) string {
	by, _, _ := strings.Cut(n.Worker, ":")
	return cmp.Or(plain(by), "-") // an older version did
}

// since is a time of today, or a day.
func since(seconds int64) string {
	t, now := time.Unix(seconds, 0), time.Now()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04")
}

// instanceJSON is the schema of list --instances --json.
type instanceJSON struct {
	Path     string     `json:"path"`
	User     *string    `json:"user"` // null: not recorded, shared, or the account is gone or cannot be told
	UID      *uint32    `json:"uid"`  // null: not recorded
	Shared   bool       `json:"shared"`
	Owner    uint32     `json:"owner"`
	Group    uint32     `json:"group"`
	Mode     string     `json:"mode"`
	Bytes    *uint64    `json:"bytes"` // null with --sizes=false
	Entries  *uint64    `json:"entries"`
	Partial  bool       `json:"partial"`   // bytes and entries are less than there is
	LastOpen *string    `json:"last_open"` // null: not recorded
	Quota    *quotaJSON `json:"quota"`     // null: no limit
	State    string     `json:"state"`
	Holder   *int       `json:"holder"` // in use: a process in whose namespace it is shown
	Reason   string     `json:"reason"` // why it is stale or unknown, or not of use to its account as it is
}

// quotaJSON is what the filesystem counts, and lets an instance have at most; 0
// is no limit.
type quotaJSON struct {
	Bytes      uint64 `json:"bytes"`
	Inodes     uint64 `json:"inodes"`
	UsedBytes  uint64 `json:"used_bytes"`
	UsedInodes uint64 `json:"used_inodes"`
}

func listInstances(conf string, sizes, asJSON bool) error {
	all, broken, err := instances(conf)
	if err != nil {
		return err
	}
	holders, err := gc.Holders(all)
	if err != nil {
		return err
	}
	out := []instanceJSON{}
	progress := newProgress("summing up", len(all))
	for _, i := range all {
		j := describe(i)
		if pid := holders[i.Name]; pid > 0 && i.State == gc.InUse {
			j.Holder = &pid
		}
		if sizes {
			if u, err := i.Usage(progress.entry); err != nil {
				j.Partial = true
			} else {
				j.Bytes, j.Entries, j.Partial = &u.Bytes, &u.Entries, u.Partial
			}
			progress.instance()
		}
		out = append(out, j)
	}
	progress.hide()
	switch {
	case asJSON:
		err = printJSON(struct {
			Schema    int            `json:"schema"`
			Instances []instanceJSON `json:"instances"`
		}{schema, out})
	case len(out) == 0:
		fmt.Fprintln(os.Stderr, "polyinst: there is no instance")
	default:
		printInstances(out, all, sizes)
	}
	if err == nil && broken {
		return errReported
	}
	return err
}

// instances are those in all parents of the configuration; broken says that
// some could not be looked at through a fault of the machine, which was told.
func instances(conf string) (all []gc.Instance, broken bool, err error) {
	c, _, err := load(conf, true)
	if err != nil {
		return nil, false, err
	}
	all, err = gc.Instances(parentsOf(c), func(path string, err error) {
		if why, ok := observe.IsUsersDoing(err); ok {
			sayLeftOut(path, why)
			return
		}
		broken = true
		fmt.Fprintln(os.Stderr, "polyinst:", words(err))
	})
	return all, broken, err
}

func describe(i gc.Instance) instanceJSON {
	j := instanceJSON{Path: i.Path(), Shared: i.Shared, Owner: i.Stat.UID, Group: i.Stat.GID,
		Mode: fmt.Sprintf("%04o", i.Stat.Mode), State: string(i.State), Reason: i.Why}
	if i.Recorded {
		j.UID = &i.UID
		if u, err := nss.UserID(i.UID); err == nil && !i.Another {
			j.User = &u.Username
		}
	}
	if q := i.Quota; q != nil {
		j.Quota = &quotaJSON{q.Bytes, q.Inodes, q.UsedBytes, q.UsedInodes}
	}
	if !i.LastOpen.IsZero() {
		at := i.LastOpen.UTC().Format(time.RFC3339)
		j.LastOpen = &at
	}
	return j
}

func printInstances(out []instanceJSON, all []gc.Instance, sizes bool) {
	t, total := instanceTable(out, all, sizes)
	t.print()
	if sizes && len(out) > 1 {
		fmt.Fprintf(stdout, "%d instances, %s\n", len(out), bytesText(total))
	}
}

// instanceTable is a row for each instance, and what all of them take.
func instanceTable(out []instanceJSON, all []gc.Instance, sizes bool) (t table, total uint64) {
	t = table{head: []string{"USER", "OWNER", "MODE", "SIZE", "OPENED", "STATE", "INSTANCE"}, dim: map[int]bool{}}
	for n, j := range out {
		who, size, age, state := "-", "-", "-", j.State
		switch {
		case j.User != nil:
			who = plain(*j.User)
		case j.UID != nil:
			who = fmt.Sprintf("uid %d", *j.UID)
		case j.Shared:
			who = "shared"
		}
		if j.Bytes != nil {
			size = bytesText(*j.Bytes)
			total += *j.Bytes
		}
		if sizes && j.Partial {
			size += "+"
		}
		if j.Quota != nil {
			size = quotaText(*j.Quota)
		}
		if !all[n].LastOpen.IsZero() {
			age = ageText(time.Since(all[n].LastOpen)) + " ago"
		}
		if j.Holder != nil {
			state += fmt.Sprintf(" by process %d", *j.Holder)
		}
		if j.Reason != "" {
			state += ": " + j.Reason
		}
		t.dim[n] = j.State == string(gc.Foreign)
		t.add(who, strconv.FormatUint(uint64(j.Owner), 10), j.Mode, size, age, state, plain(j.Path))
	}
	return t, total
}

// quotaText is what an instance takes of what it may take.
func quotaText(q quotaJSON) string {
	var parts []string
	if q.Bytes > 0 {
		parts = append(parts, bytesText(q.UsedBytes)+" of "+bytesText(q.Bytes))
	}
	if q.Inodes > 0 {
		parts = append(parts, fmt.Sprintf("%d of %d inodes", q.UsedInodes, q.Inodes))
	}
	return strings.Join(parts, ", ")
}
