using DistTrain.Core.Health;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;
using DistTrain.Training.Checkpoints;
using DistTrain.Training.Replicas;
using DistTrain.Worker.Healing;
using Grpc.Core;

namespace DistTrain.Worker;

/// <content>How it comes by its state: built, got from the coordinator, copied from a member or brought along; and how it proves it.</content>
internal sealed partial class WorkerLoop
{
    /// <summary>Builds or gets the state, and proves data, model and arithmetic.</summary>
    private async Task PrepareAsync(Prepare prepare)
    {
        await StopAsync();
        session.Told++;
        state.IsMember = false;
        services.Vitals.Leave();
        await StopFeedingAsync();
        var replica = await BuildAsync(prepare.MicroBatch);
        if (prepare.MicroBatch == 0 && state.MicroBatch is { Most: 0 } none)
        {
            var remedy = state.Options.Memory.Limit is null ? "Give it more memory" : "Raise memory.limit";
            throw new WorkerException($"{none.Sentence} {remedy}, or train a smaller model.");
        }

        if (prepare.Build)
        {
            if (state.Options.Start.Checkpoint is not null)
            {
                await state.Compute.RunAsync(() => StartingState.Read(replica, state.Options.Start, state.Options.Optimizer.Name));
            }

            services.Vitals.Begin(WorkerActivity.Sending);
            await _checkpoints.PutAsync(0, replica.Layout, replica.WeightsHash, replica.State, replica.Scalars, session.Ended);
        }
        else
        {
            services.Vitals.Begin(WorkerActivity.Copying);
            try
            {
                replica.Scalars = await _checkpoints.GetAsync(prepare.Checkpoint, replica.Layout, replica.State, services.Vitals.Advance, session.Ended);
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.NotFound)
            {
                // The run may have gone on meanwhile, and keep newer ones.
                services.Vitals.Begin(WorkerActivity.Attending);
                session.Send(new WorkerMessage { LearningFailed = new LearningFailed { Reason = e.Status.Detail } });
                return;
            }

            await state.Compute.RunAsync(replica.StateWasReplaced);
        }

        await BeginAsync(prepare.Applied);
        services.Vitals.Begin(WorkerActivity.Attending);
        Prove(applied: 0);
    }

    /// <summary>Copies the state from a member and follows it until the coordinator makes this worker a member, too.</summary>
    /// <param name="source">The member.</param>
    /// <param name="micro">Most samples of a micro-batch, where the workers had to find that; else 0.</param>
    private async Task LearnAsync(Uri source, int micro)
    {
        try
        {
            services.Vitals.Leave();
            await StopFeedingAsync();
            var replica = await BuildAsync(micro);
            services.Vitals.Begin(WorkerActivity.Following);
            var (run, term) = session.Tag;
            var request = new HealRequest { Run = run, Term = term, Worker = session.Welcome.Worker };
            using var copy = new StateCopy(source, request, replica, state.Compute, services.Vitals, session.Timeouts.Link, _learning.Token);
            var applied = await copy.ReceiveAsync(() => state.IsMember = false, _learning.Token);
            await BeginAsync(applied);
            Prove(applied);
            while (true)
            {
                var operation = await copy.FollowAsync(_learning.Token);
                state.Executor!.Follow(operation);
                session.Send(new WorkerMessage { Learned = new Learned { Applied = operation } });
            }
        }
        catch (Exception) when (_learning.IsCancellationRequested)
        {
            // It has become a member, or the session is over.
        }
        catch (Exception e) when (e is RpcException or WorkerException or IOException)
        {
            var reason = e is RpcException rpc ? rpc.Status.Detail : e.Message;
            services.Vitals.Begin(WorkerActivity.Attending);
            session.Send(new WorkerMessage { LearningFailed = new LearningFailed { Reason = reason } });
        }
        catch (Exception e)
        {
            Fail(e.Message, e);
        }
    }

    /// <summary>The state is going to be replaced: nobody may copy it meanwhile.</summary>
    private async Task StopFeedingAsync()
    {
        services.States.Clear();
        if (state.Executor is { } executor)
        {
            await executor.CloseFeedsAsync();
        }
    }

    /// <summary>Builds the model, the first time, and finds out which micro-batches suit this host, where that is asked.</summary>
    private async Task<Replica> BuildAsync(int micro)
    {
        services.Vitals.Begin(WorkerActivity.Building);
        var replica = await state.BuildAsync(() => new Replica(state.Task, state.Options, settings.OpenDevice(state.Options.Device, settings.Number)));
        var found = await state.FindAsync(micro, () => new MicroBatchFinder(
            replica, state.Options, state.Task.Training.Count, MemoryAtHand(), time, services.Vitals.Advance).Find(micro));
        if (found is not null)
        {
            Log.MicroBatch(logger, found.Sentence);
        }

        return replica;
    }

    private long MemoryAtHand()
    {
        if (!ByteSize.TryParse(state.Options.Memory.Limit ?? "", out var given))
        {
            return settings.MemoryShare ?? HostMemory.Limit();
        }

        var (limit, remark) = MemoryLimit.Within(given, HostMemory.Limit());
        if (remark is not null)
        {
            Log.MemoryLimit(logger, remark);
        }

        return limit;
    }

    /// <summary>Makes ready to train from the state as it is now.</summary>
    private Task BeginAsync(ulong applied)
    {
        var delay = state.Options.Debug.DelayPerMicroBatch.GetValueOrDefault($"{settings.Number}");
        return state.BeginAsync(() => new StepExecutor(
            state.Replica!, applied, state.Compute, state.Options.Debug.FoldPerWorker, () => state.Pause(delay), time, settings.Faults, services.Vitals));
    }

    private void Prove(ulong applied) => session.Send(new WorkerMessage { Prepared = Preparation(applied) });

    /// <summary>Proves the state that this worker has brought along, and tells what may not have been written down.</summary>
    private void Keep()
    {
        if (!state.IsMember)
        {
            session.Send(new WorkerMessage { LearningFailed = new LearningFailed { Reason = "The state it brought along is written over in part." } });
            return;
        }

        var kept = new Kept { Prepared = Preparation(state.Executor!.Applied), Generation = state.Generation };
        kept.Reports.AddRange(state.Reports.All.Select(Wire.ToWire));
        session.Send(new WorkerMessage { Kept = kept });
    }

    private Prepared Preparation(ulong applied)
    {
        var (task, replica) = (state.Task, state.Replica!);
        var micro = state.Options.Batch.IsAuto ? Math.Max(1, state.MicroBatch?.Size ?? 0) : state.Options.Batch.Micro;
        Log.Prepared(logger, replica.Layout.Count, replica.Device.Name, state.Probe ?? "not repeatable", replica.WeightsHash);
        return Wire.ToWire(new WorkerPreparation(
            task.Training.Count, task.Validation.Count, $"{task.Training.Fingerprint}+{task.Validation.Fingerprint}",
            replica.Layout.Fingerprint, state.Probe ?? "", replica.WeightsHash, task.Metrics, applied, [.. replica.Remarks(micro)])
        {
            Proposal = state.MicroBatch?.Size ?? 0,
            Most = state.MicroBatch?.Most ?? 0,
            Classes = task.Classes,
            HasPerplexity = task.HasPerplexity,
        });
    }
}
