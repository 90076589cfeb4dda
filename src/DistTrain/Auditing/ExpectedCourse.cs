using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Auditing;

/// <summary>What a run should have done, as far as it says to have come: a pure function of its configuration and the sizes of its data.</summary>
internal sealed class ExpectedCourse
{
    private readonly RunLength _length;
    private readonly Dictionary<long, Operation> _steps = [];
    private readonly SortedDictionary<long, Operation> _evaluations = [];
    private readonly SortedDictionary<ulong, Operation> _operations = [];

    /// <summary>Walks the course.</summary>
    /// <param name="options">The configuration.</param>
    /// <param name="sizes">The sizes of the data.</param>
    /// <param name="steps">How far; the evaluation after the last step belongs to it.</param>
    public ExpectedCourse(RunOptions options, DataSizes sizes, long steps)
    {
        Course = new RunCourse(options, sizes.Training, sizes.Validation);
        Sizes = sizes;
        _length = new RunLength(sizes.Training, options.Batch.Global);
        var position = CoursePosition.Start;
        while (Course.Next(position) is var (operation, next) && operation.Step <= steps)
        {
            position = next;
            _operations.Add(operation.Number, operation);
            if (operation.Kind == OperationKind.Train)
            {
                _steps.Add(operation.Step, operation);
            }
            else
            {
                _evaluations.Add(operation.Step, operation);
            }
        }
    }

    /// <summary>The whole course.</summary>
    public RunCourse Course { get; }

    /// <summary>What it was computed from.</summary>
    public DataSizes Sizes { get; }

    /// <summary>The steps, by their numbers.</summary>
    public IReadOnlyDictionary<long, Operation> Steps => _steps;

    /// <summary>Samples of the run up to and with a step.</summary>
    public long SamplesOf(long step) => _length.SamplesOf(step);

    /// <summary>The evaluations that are due, by the step before.</summary>
    public IReadOnlyDictionary<long, Operation> Evaluations => _evaluations;

    /// <summary>All of them, by the number of the operation.</summary>
    public IReadOnlyDictionary<ulong, Operation> Operations => _operations;
}
