using RawDiffusion.Engine.Operators;

namespace RawDiffusion.Engine.Reference;

/// <summary>
/// What operators compute, in double precision: slow, obviously right, and what every device is checked against.
/// </summary>
public static class Definition
{
    /// <summary>Evaluates one operator.</summary>
    /// <param name="op">Operator with its attributes.</param>
    /// <param name="inputs">Inputs by the operator's positions; null where absent.</param>
    /// <exception cref="GraphException">The operator has no definition.</exception>
    public static Array64 Evaluate(Operator op, IReadOnlyList<Array64?> inputs)
    {
        // Optional inputs at the end may be left out.
        Array64? At(int position) => position < inputs.Count ? inputs[position] : null;
        return Forward(op, At) ?? Backward(op, At, inputs) ?? throw new GraphException($"{op.Name} has no double-precision definition");
    }

    private static Array64? Forward(Operator op, Func<int, Array64?> at)
    {
        Array64 In(int position) => Required(op, at, position);
        return op switch
        {
            Activate activate => ForwardDefinitions.Activate(activate.Activation, In(Activate.X)),
            Add => ForwardDefinitions.Add(In(Add.A), In(Add.B)),
            AddEmbedding => ForwardDefinitions.AddEmbedding(In(AddEmbedding.X), In(AddEmbedding.Embedding)),
            Attention attention => ForwardDefinitions.Attention(In(Attention.Qkv), attention.Heads),
            AvgPool2d pool => ForwardDefinitions.AvgPool(OnLoad(In(AvgPool2d.X), at(AvgPool2d.Affine), pool.OnLoad)),
            BatchNorm norm => ForwardDefinitions.BatchNorm(In(BatchNorm.X), In(BatchNorm.Gamma), In(BatchNorm.Beta), In(BatchNorm.Mean),
                In(BatchNorm.Variance), norm.Epsilon),
            Concat => ForwardDefinitions.Concat(In(Concat.A), In(Concat.B)),
            Conv2d conv => Convolution(conv, at),
            DenoiseAverageStep step => DenoiseAverage(step, at),
            DenoiseStep step => ForwardDefinitions.DenoiseStep(In(DenoiseStep.Prediction), In(DenoiseStep.X), In(DenoiseStep.Table),
                In(DenoiseStep.Step), at(DenoiseStep.Noise), step.Clip),
            GroupNorm norm => ForwardDefinitions.GroupNorm(In(GroupNorm.X), In(GroupNorm.Gamma), In(GroupNorm.Beta), at(GroupNorm.Film),
                norm.Groups, norm.Epsilon, norm.Activation),
            GroupNormAffine norm => ForwardDefinitions.GroupNormAffine(Joined(In(GroupNormAffine.X), at(GroupNormAffine.X2)),
                In(GroupNormAffine.Gamma), In(GroupNormAffine.Beta), at(GroupNormAffine.Film), norm.Groups, norm.Epsilon),
            Linear linear => ForwardDefinitions.Activate(
            linear.OnStore, ForwardDefinitions.Linear(In(Linear.X), In(Linear.Weight), at(Linear.Bias))),
            SumRows mean => ForwardDefinitions.SumRows(mean.Groups, OnLoad(In(SumRows.X), at(SumRows.Affine), mean.OnLoad)),
            NextStep => In(NextStep.Step).Map(step => step + 1),
            Pool2d pool => ForwardDefinitions.Pool(pool, In(Pool2d.X)),
            RandomNormal random => ForwardDefinitions.RandomNormal(
                random, (uint)In(RandomNormal.Step)[0], (long)(at(RandomNormal.First)?[0] ?? 0)),
            RepeatRows repeat => Embedded(ForwardDefinitions.RepeatRows(repeat.Groups, In(RepeatRows.X)), at(RepeatRows.Embedding)),
            View view => new Array64(view.Shape, In(View.X).Values[(int)view.Offset..(int)(view.Offset + view.Shape.Count)]),
            TableRow row => ForwardDefinitions.TableRow(In(TableRow.Table), In(TableRow.Step)[0], row.Rows),
            TimestepEmbedding embedding => ForwardDefinitions.TimestepEmbedding(In(TimestepEmbedding.T), embedding.Dimension),
            UpsampleNearest => ForwardDefinitions.Upsample(In(UpsampleNearest.X)),
            _ => null,
        };
    }

    private static Array64? Backward(Operator op, Func<int, Array64?> at, IReadOnlyList<Array64?> all)
    {
        Array64 In(int position) => Required(op, at, position);
        return op switch
        {
            Adam adam => TrainingDefinitions.Adam(
                adam, In(Adam.State), In(Adam.Gradients), In(Adam.Norm)[0], In(Adam.Rates), In(Adam.Step)[0],
                at(Adam.Scale)),
            ActivateGrad grad => GradientDefinitions.Activate(grad.Activation, In(ActivateGrad.X), In(ActivateGrad.Dy)),
            AddEmbeddingGradEmbedding => GradientDefinitions.Embedding(In(AddEmbeddingGradEmbedding.Dy)),
            AttentionGrad grad => GradientDefinitions.Attention(
            grad.Heads, In(AttentionGrad.Qkv), In(AttentionGrad.Y), In(AttentionGrad.Dy)),
            AvgPool2dGradInput grad => GradientDefinitions.AvgPool(grad, In(AvgPool2dGradInput.Dy)),
            BatchNormGradAffine grad => GradientDefinitions.BatchNormAffine(In(BatchNormGradAffine.X), In(BatchNormGradAffine.Statistics),
                In(BatchNormGradAffine.Dy), grad.Epsilon),
            BatchNormGradInput grad => GradientDefinitions.BatchNormInput(In(BatchNormGradInput.X), In(BatchNormGradInput.Gamma),
                In(BatchNormGradInput.Statistics), In(BatchNormGradInput.Dy), In(BatchNormGradInput.Sums), grad.Epsilon),
            BatchNormRunning running =>
            GradientDefinitions.BatchNormRunning(running, In(BatchNormRunning.Running), In(BatchNormRunning.Statistics)),
            BatchNormStatistics => GradientDefinitions.BatchNormStatistics(In(BatchNormStatistics.X)),
            BatchNormTrain norm => GradientDefinitions.BatchNormTrain(
            In(BatchNormTrain.X), In(BatchNormTrain.Gamma), In(BatchNormTrain.Beta),
                In(BatchNormTrain.Statistics), norm.Epsilon),
            ChannelSum => GradientDefinitions.ChannelSum(In(ChannelSum.X)),
            Conv2dGradInput grad => GradientDefinitions.Conv2dInput(grad, In(Conv2dGradInput.Dy), In(Conv2dGradInput.Weight)),
            Conv2dGradWeight grad => GradientDefinitions.Conv2dWeight(grad, In(Conv2dGradWeight.X), In(Conv2dGradWeight.Dy)),
            Dropout dropout => GradientDefinitions.Dropout(dropout, In(Dropout.X), (uint)In(Dropout.Step)[0]),
            GradientNorm norm => TrainingDefinitions.GradientNorm(norm.Layout, In(GradientNorm.Gradients), at(GradientNorm.Scale)),
            GroupNormGradAffine => GradientDefinitions.GroupNormAffine(In(GroupNormGradAffine.Sums), at(GroupNormGradAffine.Film)),
            GroupNormGradFilm => GradientDefinitions.GroupNormFilm(In(GroupNormGradFilm.Sums), In(GroupNormGradFilm.Gamma),
                In(GroupNormGradFilm.Beta)),
            GroupNormGradInput grad => GradientDefinitions.GroupNormInput(grad, In(GroupNormGradInput.X), In(GroupNormGradInput.Affine),
                In(GroupNormGradInput.Normal), In(GroupNormGradInput.Dy), In(GroupNormGradInput.Sums)),
            GroupNormGradSums sums => GradientDefinitions.GroupNormSums(sums, In(GroupNormGradSums.X), In(GroupNormGradSums.Affine),
                In(GroupNormGradSums.Normal), In(GroupNormGradSums.Dy)),
            PairwiseCosine cosine => TrainingDefinitions.PairwiseCosine(cosine.Vectors, In(PairwiseCosine.X)),
            PairwiseCosineGrad grad =>
            TrainingDefinitions.PairwiseCosineGrad(grad.Vectors, In(PairwiseCosineGrad.X), In(PairwiseCosineGrad.Dloss)[0]),
            LinearGradInput => GradientDefinitions.LinearInput(In(LinearGradInput.Dy), In(LinearGradInput.Weight)),
            LinearGradWeight => GradientDefinitions.LinearWeight(In(LinearGradWeight.Dy), In(LinearGradWeight.X)),
            LossScale => TrainingDefinitions.LossScale(In(LossScale.State), In(LossScale.Norm)[0]),
            SumRowsGradInput grad => GradientDefinitions.SumRows(grad.Groups, In(SumRowsGradInput.Dy)),
            MseLoss => GradientDefinitions.MseLoss(In(MseLoss.Prediction), In(MseLoss.Target), at(MseLoss.Weights)),
            MseLossGradPrediction => GradientDefinitions.MseLossPrediction(
            In(MseLossGradPrediction.Prediction), In(MseLossGradPrediction.Target),
                at(MseLossGradPrediction.Weights), In(MseLossGradPrediction.Dloss)[0]),
            Pack pack => TrainingDefinitions.Pack(pack.Layout, all),
            ScaleRows => TrainingDefinitions.ScaleRows(In(ScaleRows.X), In(ScaleRows.Scale)),
            Slice slice => GradientDefinitions.Slice(slice, In(Slice.X)),
            UpsampleNearestGradInput => GradientDefinitions.Upsample(In(UpsampleNearestGradInput.Dy)),
            _ => null,
        };
    }

    private static Array64 Required(Operator op, Func<int, Array64?> at, int position) =>
        at(position) ?? throw new GraphException($"{op.Name}: input {position} is absent");

    private static Array64 Joined(Array64 x, Array64? x2) => x2 is null ? x : ForwardDefinitions.Concat(x, x2);

    private static Array64 Embedded(Array64 x, Array64? embedding) => embedding is null ? x : ForwardDefinitions.AddEmbedding(x, embedding);

    private static Array64 OnLoad(Array64 x, Array64? affine, Activation activation) =>
        ForwardDefinitions.Activate(activation, affine is null ? x : ForwardDefinitions.Affine(x, affine));

    private static Array64 Convolution(Conv2d conv, Func<int, Array64?> at)
    {
        Array64 x = OnLoad(Joined(at(Conv2d.X)!, at(Conv2d.X2)), at(Conv2d.Affine), conv.OnLoad);
        if (conv.Upsample) x = ForwardDefinitions.Upsample(x);
        Array64 y = ForwardDefinitions.Conv2d(x, at(Conv2d.Weight)!, conv.Stride, conv.Padding);
        if (at(Conv2d.SkipWeight) is { } weight)
            y = ForwardDefinitions.Add(y, ForwardDefinitions.Conv2d(Joined(at(Conv2d.Skip)!, at(Conv2d.Skip2)), weight, 1, 0));
        if (at(Conv2d.Bias) is { } bias) y = ForwardDefinitions.AddBias(y, bias);
        y = Embedded(y, at(Conv2d.Embedding));
        if (at(Conv2d.Residual) is { } residual)
            y = ForwardDefinitions.Add(y, conv.UpsampleResidual ? ForwardDefinitions.Upsample(residual) : residual);
        return ForwardDefinitions.Activate(conv.OnStore, y);
    }

    private static Array64 DenoiseAverage(DenoiseAverageStep step, Func<int, Array64?> at)
    {
        Array64 mean = ForwardDefinitions.SumRows(
            step.Groups, OnLoad(at(DenoiseAverageStep.H)!, at(DenoiseAverageStep.Affine), step.OnLoad));
        Array64 prediction = ForwardDefinitions.Conv2d(mean, at(DenoiseAverageStep.Weight)!, 1, 1);
        if (at(DenoiseAverageStep.Bias) is { } bias) prediction = ForwardDefinitions.AddBias(prediction, bias);
        return ForwardDefinitions.DenoiseStep(
            prediction, at(DenoiseAverageStep.X)!, at(DenoiseAverageStep.Table)!, at(DenoiseAverageStep.Step)!,
            at(DenoiseAverageStep.Noise), step.Clip);
    }
}
