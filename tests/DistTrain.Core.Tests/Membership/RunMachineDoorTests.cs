using DistTrain.Core.Membership;
using DistTrain.Core.Options;

namespace DistTrain.Core.Tests.Membership;

/// <summary>Who is let into a run, and what is said to who is not.</summary>
public class RunMachineDoorTests
{
    private static readonly WorkerPreparation Proof = MachineRun.Proof;

    [Theory]
    [InlineData(RefusalReason.Protocol, "It speaks protocol 1, this coordinator protocol 3: install the same version of the program on both.")]
    [InlineData(RefusalReason.Version, "It is version 2.0, this coordinator is 1.0: install the same version on both, another one may compute other bits.")]
    [InlineData(RefusalReason.Configuration, "It was given another configuration than this run's: start it without one, or with the run's config.yaml.")]
    public void A_worker_that_does_not_match_is_refused_at_the_door(RefusalReason reason, string sentence)
    {
        var run = new MachineRun(workers: 1);
        var hello = MachineRun.Hello(3);
        run.Handle(new RunEvent.Arrived(0, reason switch
        {
            RefusalReason.Protocol => hello with { Protocol = 1 },
            RefusalReason.Version => hello with { Version = "2.0" },
            _ => hello with { ConfigurationFingerprint = "other" },
        }));
        Assert.Equal(
            [new RunEffect.Refuse(0, reason, sentence), new RunEffect.Announce("refused", $"Worker 3 was refused. {sentence}")], run.Effects);
        run.Arrive(1);
        Assert.Contains(new RunEffect.Welcome(1), run.Effects);
    }

    [Fact]
    public void An_address_that_another_host_s_worker_has_is_free_when_that_one_is_gone()
    {
        var run = new MachineRun(workers: 2);
        run.Arrive(0);
        var twin = MachineRun.Hello(1) with { Address = MachineRun.Hello(0).Address };
        run.Handle(new RunEvent.Arrived(1, twin));
        var dismissal = Assert.Single(run.Effects.OfType<RunEffect.Dismiss>());
        Assert.Equal((1, false, true), (dismissal.Worker, dismissal.Success, dismissal.MayReturn));
        Assert.Contains("http://host0:1, which is the address of Worker 0 on host0", dismissal.Sentence);
        Assert.DoesNotContain(new RunEffect.Welcome(1), run.Effects);

        run.Handle(new RunEvent.Gone(0, "x"));
        run.Handle(new RunEvent.Arrived(2, twin));
        Assert.Contains(new RunEffect.Welcome(2), run.Effects);
    }

    [Theory]
    [InlineData(RefusalReason.Data, "Its data differ from the run's (100 + 10 samples, fingerprint other, against 100 + 10, data01234567): give it the same files.")]
    [InlineData(RefusalReason.Layout, "Its model has other parameters than the run's: build it from the same code and configuration.")]
    [InlineData(RefusalReason.Arithmetic,
        "Its processor or libraries compute other bits (probe gradient other, the run's is probe0123456): use hosts of one kind, begin a run with instructions=avx2 if only some have AVX-512, or give up equal bits by --allow-mixed-hosts.")]
    [InlineData(RefusalReason.State, "The state it received is not the run's: its connection or memory is faulty.")]
    public void A_worker_that_proves_something_else_is_refused_and_its_place_is_free(RefusalReason reason, string sentence)
    {
        var run = new MachineRun(workers: 2);
        run.Arrive(0);
        run.Arrive(1);
        run.Handle(new RunEvent.CheckpointPublished(0));
        run.Handle(new RunEvent.Prepared(0, Proof));
        run.Handle(new RunEvent.Prepared(1, reason switch
        {
            RefusalReason.Data => Proof with { DataFingerprint = "other" },
            RefusalReason.Layout => Proof with { LayoutFingerprint = "other" },
            RefusalReason.Arithmetic => Proof with { ProbeHash = "other" },
            _ => Proof with { WeightsHash = "other" },
        }));
        Assert.Contains(new RunEffect.Refuse(1, reason, sentence), run.Effects);
        run.Arrive(2);
        run.Handle(new RunEvent.Prepared(2, Proof));
        Assert.Equal([0, 2], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
    }

    [Fact]
    public void Without_a_builder_that_repeats_itself_there_is_no_run()
    {
        var run = new MachineRun(workers: 1);
        run.Arrive(0);
        run.Handle(new RunEvent.CheckpointPublished(0));
        MachineRun.EndsWith(run, new RunEvent.Prepared(0, Proof with { ProbeHash = "" }),
            "Worker 0, which built the model, was refused. Its device computed one gradient three times with different bits, so no run on it can be "
            + "repeated: use hosts of one kind, or give up equal bits by --allow-mixed-hosts.");
        Assert.True(run.PromisesSameBits);
    }

    [Theory]
    [InlineData("probe01234567", "", "Its device computed one gradient three times with different bits, so no run on it can be repeated.")]
    [InlineData("probe01234567", "other", "Its processor or libraries compute other bits (probe gradient other, the run's is probe0123456).")]
    [InlineData("", "other", "The worker that built the model does not repeat its own bits, so there are none to compare its probe gradient other with.")]
    public void Mixed_hosts_may_be_allowed_and_then_nothing_is_promised(string builder, string probe, string sentence)
    {
        var run = new MachineRun(workers: 2, options => options with { AllowMixedHosts = true });
        run.Arrive(0);
        run.Arrive(1);
        run.Handle(new RunEvent.CheckpointPublished(0));
        run.Handle(new RunEvent.Prepared(0, Proof with { ProbeHash = builder }));
        Assert.Equal(builder.Length > 0, run.PromisesSameBits);
        run.Handle(new RunEvent.Prepared(1, Proof with { ProbeHash = probe }));
        Assert.False(run.PromisesSameBits);
        Assert.Contains(
            new RunEffect.Announce("mixed-hosts", $"Worker 1: {sentence} It was let in all the same: this run promises no equal bits."), run.Effects);
        Assert.Single(run.Effects.OfType<RunEffect.FormGeneration>());
    }

    [Fact]
    public void What_the_builder_remarks_is_announced_once()
    {
        var run = new MachineRun(workers: 2);
        run.Arrive(0);
        run.Arrive(1);
        run.Handle(new RunEvent.CheckpointPublished(0));
        var proof = Proof with { Remarks = ["Small micro-batches."] };
        run.Handle(new RunEvent.Prepared(0, proof));
        Assert.Contains(new RunEffect.Announce("warning", "Small micro-batches."), run.Effects);
        run.Handle(new RunEvent.Prepared(1, proof));
        Assert.DoesNotContain(new RunEffect.Announce("warning", "Small micro-batches."), run.Effects);
    }

    [Fact]
    public void A_global_batch_above_the_data_is_announced()
    {
        var run = new MachineRun(workers: 1, options => options with { Batch = options.Batch with { Global = 1000 } });
        run.Arrive(0);
        run.PrepareAll();
        Assert.Contains(
            new RunEffect.Announce("warning", "batch.global is 1,000 and the data hold 100 samples: every epoch is one step of 100."), run.Effects);
    }

    [Fact]
    public void A_learner_whose_state_is_another_is_refused()
    {
        var run = MachineRun.Linked(1);
        run.Report(0, 1);
        run.Arrive(1);
        run.Handle(new RunEvent.Prepared(1, Proof with { Applied = 1, WeightsHash = "other" }));
        Assert.Contains(run.Effects, e => e is RunEffect.Refuse { Worker: 1, Reason: RefusalReason.State });
    }

    [Fact]
    public void A_worker_that_is_prepared_before_it_was_asked_is_sent_away()
    {
        var run = new MachineRun(workers: 2);
        run.Arrive(0);
        run.Arrive(1);
        MachineRun.Loses(1, run, new RunEvent.Prepared(1, Proof), "it said that it is prepared before it can be", mayReturn: false);
    }

    [Fact]
    public void A_builder_that_is_prepared_before_its_checkpoint_is_there_is_sent_away()
    {
        var run = new MachineRun(workers: 1);
        run.Arrive(0);
        MachineRun.Loses(0, run, new RunEvent.Prepared(0, Proof), "it said that it is prepared before it can be", mayReturn: false);
    }

    [Fact]
    public void Who_has_data_without_samples_is_sent_away()
    {
        var run = new MachineRun(workers: 1);
        run.Arrive(0);
        run.Handle(new RunEvent.CheckpointPublished(0));
        MachineRun.Loses(0, run, new RunEvent.Prepared(0, Proof with { TrainingSamples = 0 }), "its data hold 0 + 10 samples", mayReturn: false);
    }
}
