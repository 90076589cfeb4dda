namespace DistTrain.Core.Options;

/// <summary>What a record of keys implements that knows relations between them which no single key can check.</summary>
public interface IOptionRelations
{
    /// <summary>The mistakes. Asked only where every key by itself is right.</summary>
    /// <returns>Problems whose keys are those of the record, without the path of its section, such as <c>heads</c>.</returns>
    IEnumerable<OptionProblem> Validate();
}
