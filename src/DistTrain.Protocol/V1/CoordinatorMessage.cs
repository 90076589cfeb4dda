using Google.Protobuf;

namespace DistTrain.Protocol.V1;

/// <content>The same message for many workers.</content>
public sealed partial class CoordinatorMessage
{
    /// <summary>
    /// The same message, encoded: it is written as often as anybody wants, at the price of a copy of its bytes. Lists over all members go to all members, and would be encoded as
    /// often as there are. It is for sending only: its body is bytes, and nobody may change it.
    /// </summary>
    public CoordinatorMessage Encode()
    {
        var input = new CodedInputStream(this.ToByteArray());
        var fields = _unknownFields;
        while (input.ReadTag() != 0)
        {
            fields = UnknownFieldSet.MergeFieldFrom(fields, input);
        }

        return new CoordinatorMessage { _unknownFields = fields };
    }
}
