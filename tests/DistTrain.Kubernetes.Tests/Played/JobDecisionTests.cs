using DistTrain.PlayedCluster.Controllers;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Played;

/// <summary>The coordinator's Job, as its controller decides.</summary>
public sealed class JobDecisionTests
{
    private static readonly DateTime Now = new(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc);

    [Theory]
    [InlineData(0, false, nameof(PodVerdict.Success))]
    [InlineData(1, false, nameof(PodVerdict.Count))]
    [InlineData(137, false, nameof(PodVerdict.Count))]
    [InlineData(143, false, nameof(PodVerdict.Ignore))]
    [InlineData(143, true, nameof(PodVerdict.Ignore))]
    [InlineData(137, true, nameof(PodVerdict.Ignore))]
    [InlineData(2, false, nameof(PodVerdict.FailJob))]
    [InlineData(2, true, nameof(PodVerdict.FailJob))]
    public void What_an_end_means_is_said_by_the_first_rule_that_matches(int exitCode, bool isDisrupted, string verdict) =>
        Assert.Equal(verdict, JobDecision.Judge(PlayedPods.Job.PodFailurePolicy, PlayedPods.Ended(exitCode, isDisrupted)).Verdict.ToString());

    [Fact]
    public void A_code_that_is_not_in_the_list_matches_NotIn_and_0_never_does()
    {
        var policy = new V1PodFailurePolicy
        {
            Rules = [new V1PodFailurePolicyRule { Action = "FailJob", OnExitCodes = new V1PodFailurePolicyOnExitCodesRequirement { OperatorProperty = "NotIn", Values = [1] } }],
        };

        Assert.Equal(PodVerdict.Count, JobDecision.Judge(policy, PlayedPods.Ended(1)).Verdict);
        Assert.Equal(PodVerdict.FailJob, JobDecision.Judge(policy, PlayedPods.Ended(3)).Verdict);
        Assert.Equal(PodVerdict.Success, JobDecision.Judge(policy, PlayedPods.Ended(0)).Verdict);
    }

    [Fact]
    public void The_next_pod_waits_for_the_end_of_the_last_and_for_the_back_off()
    {
        var failed = JobDecision.After(PlayedPods.Job, JobCounts.None, PlayedPods.Ended(1), Now);

        Assert.IsType<JobStep.Start>(Next(JobCounts.None, false, Now));
        Assert.IsType<JobStep.Wait>(Next(JobCounts.None, true, Now));
        Assert.IsType<JobStep.Wait>(Next(failed, false, Now.AddSeconds(9.9)));
        Assert.IsType<JobStep.Start>(Next(failed, false, Now.AddSeconds(10)));
        Assert.IsType<JobStep.Start>(Next(failed, false, Now.AddSeconds(1), hurry: 10));
    }

    [Fact]
    public void Failures_beyond_the_limit_fail_the_job_and_disruptions_do_not_count()
    {
        var counts = JobCounts.None;
        for (var i = 0; i <= PlayedPods.Job.BackoffLimit; i++)
        {
            counts = JobDecision.After(PlayedPods.Job, counts, PlayedPods.Ended(143, isDisrupted: true), Now);
            Assert.IsNotType<JobStep.Fail>(Next(counts, false, Now));
            counts = JobDecision.After(PlayedPods.Job, counts, PlayedPods.Ended(1), Now);
        }

        Assert.Equal("BackoffLimitExceeded", Assert.IsType<JobStep.Fail>(Next(counts, false, Now)).Reason);
    }

    [Fact]
    public void A_configuration_that_is_wrong_fails_it_at_once_and_one_success_completes_it()
    {
        Assert.Equal("PodFailurePolicy", Assert.IsType<JobStep.Fail>(Next(JobDecision.After(PlayedPods.Job, JobCounts.None, PlayedPods.Ended(2), Now), false, Now)).Reason);
        Assert.IsType<JobStep.Complete>(Next(JobDecision.After(PlayedPods.Job, JobCounts.None, PlayedPods.Ended(0), Now), false, Now));
    }

    private static JobStep Next(JobCounts counts, bool isPodThere, DateTime now, double hurry = 1) => JobDecision.Next(PlayedPods.Job, counts, isPodThere, now, hurry);
}
