using DistTrain.Protocol.V1;
using Grpc.Core;

namespace DistTrain.Coordinator.Checkpoints;

/// <summary>A checkpoint that is complete on disk.</summary>
/// <param name="Folder">Where it lies.</param>
/// <param name="Manifest">What it holds.</param>
internal sealed record PublishedCheckpoint(string Folder, CheckpointManifest Manifest)
{
    /// <summary>Step, layout and vectors, as the writer sent them.</summary>
    public CheckpointHeader Header => Manifest.Header;

    /// <summary>SHA-256 of the weights' bytes, without the file's head.</summary>
    public string ModelSha256 => Manifest.Files[0].DataSha256;

    /// <summary>Elements of the layout.</summary>
    public long Parameters => Manifest.Layout.Count;
}

/// <summary>
/// Receives states into <c>checkpoints/step-NNNNNNNN/</c> and serves them. A checkpoint is written beside its place, checked against the
/// writer's SHA-256, synced, and renamed: it is there whole, or not at all.
/// </summary>
/// <param name="folder">Where they lie; created where it is not there.</param>
/// <param name="keep">How many of the newest are kept, 1 or more; the best by validation loss is kept besides.</param>
/// <param name="disk">Where files are created.</param>
internal sealed class CheckpointStore(string folder, int keep, IDisk? disk = null)
{
    private readonly Dictionary<long, PublishedCheckpoint> _published = [];
    private readonly Lock _publishing = new();
    private readonly CheckpointWriter _writer = new(disk ?? Disk.Instance);
    private readonly BestCheckpoint _best = new(folder, disk ?? Disk.Instance);
    private readonly List<long> _discardedFrom = [];
    private long _counted = -1;
    private int _attempts;

    /// <summary>The newest, if any.</summary>
    public PublishedCheckpoint? Newest
    {
        get
        {
            lock (_published)
            {
                return _published.Count == 0 ? null : _published[_published.Keys.Max()];
            }
        }
    }

    /// <summary>
    /// The step of the checkpoint to which the run goes back where nobody holds a newer state; -1 for none. It is kept besides: newer ones count only when their step has
    /// its line.
    /// </summary>
    public long Counted
    {
        get => Volatile.Read(ref _counted);
        set => Volatile.Write(ref _counted, value);
    }

    /// <summary>
    /// A store over a folder that may hold checkpoints of an earlier process. Each is checked to its last byte; those that are not good stay where they are and are
    /// never served. What that process had begun and not finished is removed.
    /// </summary>
    /// <exception cref="IOException">The folder cannot be read.</exception>
    public static CheckpointScan Open(string folder, int keep, IDisk? disk = null)
    {
        var store = new CheckpointStore(folder, keep, disk);
        var (good, refused, steps) = (new List<PublishedCheckpoint>(), new List<string>(), new List<long>());
        if (!Directory.Exists(folder))
        {
            return new CheckpointScan(store, good, refused);
        }

        CheckpointPlace.CleanUp(folder);
        foreach (var (path, step) in Directory.GetDirectories(folder)
            .Select(path => (path, step: CheckpointPlace.StepOf(path))).Where(c => c.step is not null).OrderByDescending(c => c.step))
        {
            try
            {
                var checkpoint = CheckpointReader.Open(path, step!.Value);
                good.Add(checkpoint);
                store._published[step.Value] = checkpoint;
            }
            catch (InvalidDataException e)
            {
                steps.Add(step!.Value);
                refused.Add($"The checkpoint {path} is refused: {e.Message}. Use another one, and delete this folder or put a good copy in its place.");
            }
        }

        store._best.Read(store._published.Keys);
        return new CheckpointScan(store, good, refused) { RefusedSteps = steps };
    }

    /// <summary>Takes note of an evaluation: the checkpoint with the lowest validation loss is not retired.</summary>
    /// <param name="step">The step after which was evaluated. Where no checkpoint of it is or comes, the first one after it counts.</param>
    /// <param name="loss">The loss.</param>
    public void NoteEvaluation(long step, double loss)
    {
        long[] published;
        lock (_published)
        {
            published = [.. _published.Keys];
        }

        _best.Change(marks => marks.AfterEvaluation(step, loss, published));
    }

    /// <summary>Receives one checkpoint.</summary>
    /// <param name="chunks">The header, the data in order, the hash.</param>
    /// <param name="manifest">Makes the manifest's fields beside those of the header and the hashes.</param>
    /// <param name="cancellation">Ends the attempt; nothing is left behind.</param>
    /// <exception cref="RpcException">What came is not a whole checkpoint; AlreadyExists: this very state is published.</exception>
    /// <exception cref="IOException">It cannot be written.</exception>
    public async Task<PublishedCheckpoint> ReceiveAsync(
        IAsyncStreamReader<CheckpointChunk> chunks, Func<CheckpointHeader, IReadOnlyDictionary<string, object>> manifest, CancellationToken cancellation)
    {
        var temporary = "";
        var discarded = Discarded();
        try
        {
            if (!await chunks.MoveNext(cancellation) || chunks.Current.Header is not { } header)
            {
                throw new InvalidDataException("it does not begin with a header");
            }

            var layout = CheckpointLayout.Of(header);
            if (Published(header) is not null)
            {
                throw new RpcException(new Status(StatusCode.AlreadyExists, $"There is a checkpoint of step {header.Step} already."));
            }

            temporary = CreateTemporary(header.Step);
            var written = await _writer.WriteAsync(chunks, header, layout, manifest(header), temporary, cancellation);
            return Publish(new PublishedCheckpoint(CheckpointPlace.Of(folder, header.Step), written), temporary, discarded);
        }
        catch (InvalidDataException e)
        {
            throw new RpcException(new Status(StatusCode.InvalidArgument, $"The checkpoint is refused: {e.Message}."));
        }
        finally
        {
            Delete(temporary);
        }
    }

    /// <summary>Sends a published checkpoint.</summary>
    /// <exception cref="RpcException">There is none of that step, or it is damaged by now.</exception>
    public Task SendAsync(long step, IServerStreamWriter<CheckpointChunk> chunks, CancellationToken cancellation)
    {
        PublishedCheckpoint? checkpoint;
        lock (_published)
        {
            _published.TryGetValue(step, out checkpoint);
        }

        return checkpoint is null
            ? throw new RpcException(new Status(StatusCode.NotFound, $"There is no checkpoint of step {step}."))
            : CheckpointReader.SendAsync(checkpoint, chunks, cancellation);
    }

    /// <summary>Throws a checkpoint away, for good: it is not the run's, and a later process must not take it for one.</summary>
    public void Discard(long step)
    {
        lock (_publishing)
        {
            PublishedCheckpoint? checkpoint;
            lock (_published)
            {
                _published.Remove(step, out checkpoint);
            }

            if (checkpoint is not null)
            {
                Remove(checkpoint);
            }
        }
    }

    /// <summary>Throws the checkpoints of a step and of later ones away, also those that are on their way.</summary>
    public void DiscardFrom(long step)
    {
        lock (_publishing)
        {
            List<long> steps;
            lock (_published)
            {
                steps = [.. _published.Keys.Where(s => s >= step)];
            }

            _discardedFrom.Add(step);
            steps.ForEach(Discard);
        }
    }

    private int Discarded()
    {
        lock (_publishing)
        {
            return _discardedFrom.Count;
        }
    }

    /// <summary>What is published of a state already. Another state of the same step does not count: a run that went back may compute one, and it takes its place.</summary>
    private PublishedCheckpoint? Published(CheckpointHeader header)
    {
        lock (_published)
        {
            return _published.TryGetValue(header.Step, out var there) && there.Header.Equals(header) ? there : null;
        }
    }

    private string CreateTemporary(long step)
    {
        if (!Directory.Exists(folder))
        {
            Directory.CreateDirectory(folder);
            Disk.SyncFolder(Path.GetDirectoryName(Path.GetFullPath(folder))!);
        }

        var temporary = Temporary(CheckpointPlace.Of(folder, step));
        Directory.CreateDirectory(temporary);
        return temporary;
    }

    private string Temporary(string place) => $"{place}.{Interlocked.Increment(ref _attempts)}{CheckpointPlace.Temporary}";

    /// <summary>Puts a checkpoint that is whole into its place, and retires what is not to be kept.</summary>
    /// <param name="checkpoint">What it is.</param>
    /// <param name="temporary">Where it lies.</param>
    /// <param name="discarded">How often checkpoints had been discarded when it began to come.</param>
    private PublishedCheckpoint Publish(PublishedCheckpoint checkpoint, string temporary, int discarded)
    {
        lock (_publishing)
        {
            if (_discardedFrom.Skip(discarded).Any(from => from <= checkpoint.Header.Step))
            {
                throw new InvalidDataException("the run has gone on another way meanwhile, with smaller micro-batches");
            }

            if (Published(checkpoint.Header) is { } sooner)
            {
                return sooner;
            }

            Place(temporary, checkpoint.Folder);
            lock (_published)
            {
                _published[checkpoint.Header.Step] = checkpoint;
            }

            _best.Change(marks => marks.AfterPublication(checkpoint.Header.Step));
            Retire(checkpoint);
            return checkpoint;
        }
    }

    /// <summary>What lies there already is gone only when the new one is there to stay.</summary>
    private void Place(string temporary, string place)
    {
        var old = place + CheckpointPlace.Replaced;
        var isReplaced = Directory.Exists(place);
        if (isReplaced)
        {
            Directory.Move(place, old);
        }

        try
        {
            Directory.Move(temporary, place);
        }
        catch (Exception e) when (isReplaced && Disk.IsRefusal(e))
        {
            Directory.Move(old, place);
            throw;
        }

        Disk.SyncFolder(folder);
        if (isReplaced)
        {
            Delete(old);
        }
    }

    /// <summary>Takes the oldest away, but neither the best, nor the one that counts, nor the one that has just come. A folder that is half deleted has a name by which nobody takes it for a checkpoint.</summary>
    private void Retire(PublishedCheckpoint newcomer)
    {
        List<PublishedCheckpoint> retired;
        var best = _best.Step;
        lock (_published)
        {
            retired = [.. _published.OrderByDescending(p => p.Key).Skip(keep).Select(p => p.Value)
                .Where(c => c != newcomer && c.Header.Step != best && c.Header.Step != Counted)];
            retired.ForEach(r => _published.Remove(r.Header.Step));
        }

        retired.ForEach(Remove);
    }

    private void Remove(PublishedCheckpoint checkpoint)
    {
        try
        {
            var temporary = Temporary(checkpoint.Folder);
            Directory.Move(checkpoint.Folder, temporary);
            Disk.SyncFolder(folder);
            Directory.Delete(temporary, recursive: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A disk that is read-only by now keeps what it has.
        }
    }

    /// <summary>Deletes what is left of an attempt, where it can be: another process removes it otherwise.</summary>
    private static void Delete(string path)
    {
        try
        {
            if (Directory.Exists(path))
            {
                Directory.Delete(path, recursive: true);
            }
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // The reason of the attempt's failure is the better one to hear.
        }
    }
}
