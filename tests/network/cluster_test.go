package network

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pam_polyinst/tests/host"
	"pam_polyinst/tests/kit"
)

// cluster is a Slurm cluster: the controller on the host, slurmd on the nodes.
type cluster struct {
	h     *host.Host
	ctld  *host.Process
	nodes []*host.Node
}

// slurmConf has what tests/README.md says of it: no cgroups, for the disposable
// host has none of its own, and no waiting.
const slurmConf = `
ClusterName=story
SlurmctldHost=head
SlurmUser=slurm
AuthType=auth/munge
UsePAM=1
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/builtin
SchedulerParameters=batch_sched_delay=0
StateSaveLocation=/var/spool/slurmctld
SlurmdSpoolDir=/var/spool/slurmd
SlurmctldLogFile=/var/log/slurm/slurmctld.log
SlurmdLogFile=/var/log/slurm/slurmd.%n.log
SlurmctldPidFile=/run/slurmctld.pid
SlurmdPidFile=/run/slurmd.pid
SlurmdParameters=config_overrides
Prolog=/etc/slurm/prolog
SlurmctldDebug=debug
SlurmdDebug=debug
ReturnToService=2
KillWait=1
`

// slurmPAM is /etc/pam.d/slurm as slurm.conf(5) has it, and more session lines.
func slurmPAM(session ...string) []string {
	return append([]string{
		"auth     required pam_localuser.so",
		"auth     required pam_shells.so",
		"account  required pam_unix.so",
		"account  required pam_access.so",
		"session  required pam_unix.so",
	}, session...)
}

// startCluster starts a cluster of two nodes.
func startCluster(h *host.Host, conf ...string) *cluster {
	h.T.Helper()
	h.Need("munged", "slurmctld", "slurmd", "sbatch")
	c := &cluster{h: h}
	h.Sh("install -d -o munge -g munge -m 700 /etc/munge /var/lib/munge /var/log/munge; install -d -o slurm /var/spool/slurmctld /var/log/slurm")
	h.Sh("head -c 64 /dev/urandom >/etc/munge/munge.key; chown munge: /etc/munge/munge.key; chmod 400 /etc/munge/munge.key")
	text := slurmConf + strings.Join(conf, "\n") + "\n"
	for _, name := range []string{"node1", "node2"} {
		n := h.Node(name)
		c.nodes = append(c.nodes, n)
		text += fmt.Sprintf("NodeName=%s NodeAddr=%s CPUs=4 RealMemory=100 State=UNKNOWN\n", name, n.Address)
	}
	text += "PartitionName=main Nodes=ALL Default=YES State=UP\n"
	h.WriteFile("/etc/slurm/slurm.conf", text)
	h.WriteFile("/etc/slurm/prolog", "#!/bin/sh\nexec /usr/local/sbin/polyinst prepare\n", 0o755)
	h.WriteFile("/etc/slurm/job_container.conf", "AutoBasePath=true\nBasePath=/var/spool/job\n")
	h.WriteFile("/etc/slurm/cgroup.conf", "CgroupPlugin=cgroup/v1\n")
	h.MustRun("hostname", "head")
	c.munge(h.Command)
	c.ctld = h.Command("slurmctld", "-D").Start()
	c.ctld.Expect("Running as primary controller")
	for _, n := range c.nodes {
		c.munge(n.Command)
		n.MustRun("mkdir", "-p", "/var/spool/slurmd")
		n.Command("slurmd", "-D").Start()
		c.ctld.Expect("node " + n.Name + " registered")
	}
	return c
}

func (c *cluster) munge(command func(...string) *host.Command) {
	command("install", "-d", "-o", "munge", "-m", "755", "/run/munge").Must()
	command("setpriv", "--reuid", "munge", "--regid", "munge", "--clear-groups", "munged", "--num-threads", "1").Must()
}

// clusterStory is a story on a cluster with the line in the stacks of slurm and
// of sshd, there behind pam_slurm_adopt, and with users alice and bob.
func clusterStory(t *testing.T, config, line string, conf []string, tell func(c *cluster, alice, bob host.User)) {
	t.Helper()
	t.Parallel()
	kit.Story(t, config, nil, func(h *host.Host) {
		h.PAM("slurm", slurmPAM(line)...)
		h.PAM("sshd", append([]string{"account required pam_slurm_adopt.so"}, host.Stack(line)...)...)
		alice, bob := h.AddUser("alice"), h.AddUser("bob")
		tell(startCluster(h, conf...), alice, bob)
	})
}

// run runs a shell command of a user's as a job on some of the nodes, and
// returns what each task printed in one line, by the name of its node.
func (c *cluster) run(u host.User, nodes, command string) map[string]string {
	c.h.T.Helper()
	out := c.h.Command("srun", "-w", nodes, "sh", "-c", "echo $(hostname) $("+command+")").As(u).Must()
	seen := map[string]string{}
	for line := range strings.Lines(out) {
		if node, text, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			seen[node] = text
		}
	}
	return seen
}

// inInstanceOn is inInstance on a node.
func inInstanceOn(n *host.Node, user, seen string) {
	n.T().Helper()
	if want := n.MustRun("stat", "-c", "%d:%i", kit.Instance(user)); seen != want {
		n.T().Errorf("%s: /tmp is %q, want %s's instance %s; the public /tmp is %s", n.Name, seen, user, want, n.Sh(kit.WhichTmp))
	}
}

// The tasks of a job see the instances that their user has on their node, as do
// their next job and their ssh session there; nobody else does, and on another node
// there are others. slurmstepd opens the session, and has threads.
func TestSlurmJob(t *testing.T) {
	clusterStory(t, kit.OwnTmp, kit.Session, nil, func(c *cluster, alice, bob host.User) {
		one, two := c.nodes[0], c.nodes[1]
		seen := c.run(alice, "node1,node2", kit.WhichTmp)
		inInstanceOn(one, "alice", seen["node1"])
		inInstanceOn(two, "alice", seen["node2"])
		if seen["node1"] == seen["node2"] {
			t.Errorf("both nodes show the same instance: %v", seen)
		}
		if threads := c.run(alice, "node1", "ps -o nlwp= -p $PPID")["node1"]; threads == "1" || threads == "" {
			t.Errorf("slurmstepd has %q threads: this is no test of a host with threads", threads)
		}

		c.run(alice, "node1", "echo hers >/tmp/letter")
		host.Equal(c.h, "her next job", c.run(alice, "node1", "cat /tmp/letter")["node1"], "hers")
		host.Equal(c.h, "on the other node", c.run(alice, "node2", "ls -A /tmp")["node2"], "")
		host.Equal(c.h, "bob's job", c.run(bob, "node1", "ls -A /tmp")["node1"], "")
		host.Equal(c.h, "the public /tmp of the node", one.Sh("ls -A /tmp"), "")
		inInstanceOn(one, "bob", c.run(bob, "node1", kit.WhichTmp)["node1"])

		one.Sh("echo slurmd has one view, that of process 1; [ $(readlink /proc/$(pgrep -x slurmd)/ns/mnt) = $(readlink /proc/1/ns/mnt) ]")
	})
}

// A batch script and the steps that it starts, its output file included.
func TestSlurmBatch(t *testing.T) {
	clusterStory(t, kit.OwnTmp, kit.Session, nil, func(c *cluster, alice, _ host.User) {
		c.h.Fifo("/home/alice/told")
		c.h.WriteFile("/home/alice/input", "input\n")
		script := "echo hers >/tmp/letter; (" + kit.WhichTmp + "; srun " + kit.WhichTmp + "; srun cat /tmp/letter; " +
			"sbcast /home/alice/input /tmp/cast; ls /tmp) >/home/alice/told"
		c.h.Command("sbatch", "-w", "node1", "-o", "/tmp/output", "--wrap", script).As(alice).Must()
		told := strings.Fields(c.h.ReadFifo("/home/alice/told"))
		if len(told) != 5 {
			t.Fatalf("the job told %q", told)
		}
		n := c.nodes[0]
		inInstanceOn(n, "alice", told[0])
		inInstanceOn(n, "alice", told[1])
		host.Equal(c.h, "a step", told[2], "hers")
		// what docs/cluster.md says of output and sbcast
		host.Equal(c.h, "in her /tmp", strings.Join(told[3:], " "), "letter output")
		host.Equal(c.h, "in the public /tmp", n.Sh("ls -A /tmp"), "cast")
	})
}

// pam_slurm_adopt in the account part, ours at the end of the session part: who
// has a job on the node is adopted into it and sees what the job sees.
func TestSlurmAdopt(t *testing.T) {
	clusterStory(t, kit.OwnTmp, kit.Session, []string{"PrologFlags=Contain"}, func(c *cluster, alice, _ host.User) {
		one, two := c.nodes[0].Sshd(), c.nodes[1].Sshd()
		if r := one.SSH("alice", "true"); r.Code != 255 {
			t.Errorf("without a job on the node ssh ended with %d", r.Code)
		}
		c.h.WaitLog(`Access denied by pam_slurm_adopt: you have no active jobs`)

		job := c.h.Command("srun", "-w", "node1", "sh", "-c", "echo hers >/tmp/letter; echo at=$("+kit.WhichTmp+"); cat").As(alice).Start()
		at := job.Expect(`at=(\d+:\d+)`)[1]
		host.Equal(c.h, "her session by ssh", one.SSH("alice", kit.WhichTmp+"; cat /tmp/letter").Out(), at+"\nhers")
		c.h.WaitLog(`pam_slurm_adopt: Process \d+ adopted into job 1`)
		inInstanceOn(c.nodes[0], "alice", at)
		for _, r := range []host.Result{one.SSH("bob", "true"), two.SSH("alice", "true")} {
			if r.Code != 255 {
				t.Errorf("without a job on the node ssh ended with %d", r.Code)
			}
		}
		job.CloseInput()
		host.Equal(c.h, "the job's end", job.Wait().Code, 0)
	})
}

// A tmpdir instance belongs to one step of a job, and ends with it.
func TestSlurmTmpdir(t *testing.T) {
	clusterStory(t, kit.Tmpdir, kit.Session+" debug", nil, func(c *cluster, alice, _ host.User) {
		n := c.nodes[0]
		job := c.h.Command("srun", "-w", "node1", "sh", "-c", "echo at=$("+kit.WhichTmp+"); cat").As(alice).Start()
		at := job.Expect(`at=(\d+:\d+)`)[1]
		host.Equal(c.h, "the instance", n.Sh("stat -c %d:%i "+kit.Instance(".tmpdir.*")), at)
		if other := c.run(alice, "node1", kit.WhichTmp)["node1"]; other == at || other == n.Sh(kit.WhichTmp) {
			t.Errorf("another job's /tmp is %s, the first one's %s", other, at)
		}
		c.h.WaitLog("close: removed ")
		c.h.ForgetLog()
		job.CloseInput()
		c.h.WaitLog("close: removed ")
		host.Equal(c.h, "what is left", n.Sh("ls -A "+kit.Instance("")), ".lock")
	})
}

// A refused session runs nothing, and nothing in the public directory. Of a batch
// job Slurm makes more: it drains the node, as docs/cluster.md says.
func TestSlurmRefusal(t *testing.T) {
	clusterStory(t, kit.OwnTmp, kit.Session, nil, func(c *cluster, alice, bob host.User) {
		c.run(alice, "node1", kit.WhichTmp)
		c.nodes[0].MustRun("chown", "bob", kit.Instance("alice"))
		step := c.h.Command("srun", "-w", "node1", "touch", "/tmp/ran", "/home/alice/ran").As(alice).Run()
		c.h.Match("srun", step.Stderr, "launch failed: Slurmd could not execve job")
		c.h.WaitLog(`session refused for "alice": polydir "/tmp": instance .* owned by`)
		if c.nodes[0].Sh("ls -A /tmp") != "" || c.h.Exists("/home/alice/ran") {
			t.Error("the task ran")
		}
		host.Equal(c.h, "bob's job", c.run(bob, "node1", "ls -A /tmp")["node1"], "")
		c.h.Command("sbatch", "-w", "node1", "--wrap", "touch /home/alice/ran").As(alice).Must()
		c.ctld.Expect("drain_nodes: node node1 state set to DRAIN")
		c.h.Match("sinfo", c.h.MustRun("sinfo", "-N", "-h", "-o", "%T", "-n", "node1"), "drain") // draining, too
		if c.h.Exists("/home/alice/ran") {
			t.Error("the batch job ran")
		}
	})
}

// On a node whose instance parent is not as it should be, the prolog fails: Slurm
// drains the node, nothing runs on it, and the next job goes elsewhere.
func TestSlurmProlog(t *testing.T) {
	clusterStory(t, kit.OwnTmp, kit.Session, nil, func(c *cluster, alice, _ host.User) {
		bad := c.nodes[0]
		bad.Sh("mkdir -p " + kit.Instance("") + "; chown 1 " + kit.Instance(""))
		c.h.Command("sbatch", "-w", "node1", "--wrap", "touch /home/alice/ran").As(alice).Must()
		c.ctld.Expect("drain_nodes: node node1 state set to DRAIN")
		c.h.Match("sinfo", c.h.MustRun("sinfo", "-R"), "Prolog error .*node1")
		seen := strings.Fields(c.h.Command("srun", "sh", "-c", "hostname; "+kit.WhichTmp).As(alice).Must())
		host.Equal(c.h, "the node of the next job", seen[0], "node2")
		inInstanceOn(c.nodes[1], "alice", seen[1])
		if c.h.Exists("/home/alice/ran") {
			t.Error("the batch job ran")
		}
	})
}

// Slurm's own private /tmp and ours do not go together, and the job fails rather
// than see something else than either.
func TestSlurmJobContainer(t *testing.T) {
	conf := []string{"PrologFlags=Contain", "JobContainerType=job_container/tmpfs"}
	clusterStory(t, kit.OwnTmp, kit.Session, conf, func(c *cluster, alice, _ host.User) {
		r := c.h.Command("srun", "-w", "node1", "touch", "/tmp/ran", "/home/alice/ran").As(alice).Run()
		// slurmstepd of the job's container may die of it before the task does
		c.h.Match("srun", r.Stderr, "container_p_join: setns failed|still not ready")
		if r.Code == 0 || c.h.Exists("/home/alice/ran") {
			t.Error("the task ran")
		}
	})
}

// tasks is how many tasks of an array TestSlurmArray runs.
func tasks() int {
	if n, err := strconv.Atoi(os.Getenv("POLYINST_TEST_TASKS")); err == nil {
		return n
	}
	return 16
}

// Arrays of two users at once, on both nodes: each task is in its user's instance of its
// node and has a /var/tmp of its own, and when all have ended nothing is left.
func TestSlurmArray(t *testing.T) {
	config := kit.OwnTmp + strings.NewReplacer(`"/tmp"`, `"/var/tmp"`, `polyinst/tmp/`, `polyinst/var/`).Replace(kit.Tmpdir)
	clusterStory(t, config, kit.Session, nil, func(c *cluster, alice, bob host.User) {
		each := tasks() / 2
		for _, u := range []host.User{alice, bob} {
			c.h.Sh("install -d -o " + u.Name + " /home/" + u.Name + "/told")
			c.h.Command("sbatch", "--array", fmt.Sprintf("1-%d", each), "-D", "/home/"+u.Name, "-o", "/dev/null", "--wrap",
				`echo $(hostname) $(`+kit.WhichTmp+`) $(ls -A /var/tmp | wc -l) >told/$SLURM_ARRAY_TASK_ID; touch /tmp/$SLURM_ARRAY_TASK_ID /var/tmp/mine`).As(u).Must()
		}
		for range 2 * each {
			c.ctld.ExpectWithin(time.Minute, `_job_complete: JobId=\S+ done`)
		}
		onNode := map[string]int{}
		for _, user := range []string{"alice", "bob"} {
			want := map[string]string{}
			for _, n := range c.nodes {
				want[n.Name] = n.MustRun("stat", "-c", "%d:%i", kit.Instance(user))
			}
			for i := range each {
				told := strings.Fields(c.h.ReadFile(fmt.Sprintf("/home/%s/told/%d", user, i+1)))
				if len(told) != 3 || told[1] != want[told[0]] || told[2] != "0" {
					t.Fatalf("%s's task %d tells %q; the instances are %v", user, i+1, told, want)
				}
				onNode[told[0]]++
			}
		}
		if len(onNode) != 2 {
			t.Errorf("tasks on nodes: %v", onNode)
		}
		t.Logf("tasks on nodes: %v", onNode)
		for _, n := range c.nodes {
			host.Equal(c.h, n.Name+": files of all tasks", n.Sh("ls "+kit.Instance("alice")+" "+kit.Instance("bob")+" | grep -c '^[0-9]'"), strconv.Itoa(onNode[n.Name]))
			// slurmstepd is the last to leave a session, after it has told the controller
			n.Sh("until polyinst list 2>&1 | grep -q 'no process is in'; do sleep 0.1; done; polyinst gc")
			host.Equal(c.h, n.Name+": what is left", n.Sh("find "+kit.Instance("")+" /var/lib/polyinst/var -mindepth 1 -maxdepth 1 -printf '%f\n' | sort"), ".lock\n.lock\nalice\nbob")
		}
	})
}
