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
            Activate activate => References.Activate(activate.Activation, In(Activate.X)),
            Add => References.Add(In(Add.A), In(Add.B)),
            AddEmbedding => References.AddEmbedding(In(AddEmbedding.X), In(AddEmbedding.Embedding)),
            Attention attention => References.Attention(In(Attention.Qkv), attention.Heads),
            AvgPool2d pool => References.AvgPool(OnLoad(In(AvgPool2d.X), at(AvgPool2d.Affine), pool.OnLoad)),
            BatchNorm norm => References.BatchNorm(In(BatchNorm.X), In(BatchNorm.Gamma), In(BatchNorm.Beta), In(BatchNorm.Mean),
                In(BatchNorm.Variance), norm.Epsilon),
            Concat => References.Concat(In(Concat.A), In(Concat.B)),
            Conv2d conv => Convolution(conv, at),
            DenoiseAverageStep step => DenoiseAverage(step, at),
            DenoiseStep step => References.DenoiseStep(In(DenoiseStep.Prediction), In(DenoiseStep.X), In(DenoiseStep.Table),
                In(DenoiseStep.Step), at(DenoiseStep.Noise), step.Clip),
            GroupNorm norm => References.GroupNorm(In(GroupNorm.X), In(GroupNorm.Gamma), In(GroupNorm.Beta), at(GroupNorm.Film),
                norm.Groups, norm.Epsilon, norm.Activation),
            GroupNormAffine norm => References.GroupNormAffine(Joined(In(GroupNormAffine.X), at(GroupNormAffine.X2)),
                In(GroupNormAffine.Gamma), In(GroupNormAffine.Beta), at(GroupNormAffine.Film), norm.Groups, norm.Epsilon),
            Linear linear => References.Activate(linear.OnStore, References.Linear(In(Linear.X), In(Linear.Weight), at(Linear.Bias))),
            SumRows mean => References.SumRows(mean.Groups, OnLoad(In(SumRows.X), at(SumRows.Affine), mean.OnLoad)),
            NextStep => In(NextStep.Step).Map(step => step + 1),
            Pool2d pool => References.Pool(pool, In(Pool2d.X)),
            RandomNormal random => References.RandomNormal(random, (uint)In(RandomNormal.Step)[0]),
            RepeatRows repeat => Embedded(References.RepeatRows(repeat.Groups, In(RepeatRows.X)), at(RepeatRows.Embedding)),
            View view => new Array64(view.Shape, In(View.X).Values[(int)view.Offset..(int)(view.Offset + view.Shape.Count)]),
            TableRow row => References.TableRow(In(TableRow.Table), In(TableRow.Step)[0], row.Rows),
            TimestepEmbedding embedding => References.TimestepEmbedding(In(TimestepEmbedding.T), embedding.Dimension),
            UpsampleNearest => References.Upsample(In(UpsampleNearest.X)),
            _ => null,
        };
    }

    private static Array64? Backward(Operator op, Func<int, Array64?> at, IReadOnlyList<Array64?> all)
    {
        Array64 In(int position) => Required(op, at, position);
        return op switch
        {
            Adam adam => Training.Adam(adam, In(Adam.State), In(Adam.Gradients), In(Adam.Norm)[0], In(Adam.Rates), In(Adam.Step)[0],
                at(Adam.Scale)),
            ActivateGrad grad => Gradients.Activate(grad.Activation, In(ActivateGrad.X), In(ActivateGrad.Dy)),
            AddEmbeddingGradEmbedding => Gradients.Embedding(In(AddEmbeddingGradEmbedding.Dy)),
            AttentionGrad grad => Gradients.Attention(grad.Heads, In(AttentionGrad.Qkv), In(AttentionGrad.Y), In(AttentionGrad.Dy)),
            AvgPool2dGradInput grad => Gradients.AvgPool(grad, In(AvgPool2dGradInput.Dy)),
            BatchNormGradAffine grad => Gradients.BatchNormAffine(In(BatchNormGradAffine.X), In(BatchNormGradAffine.Statistics),
                In(BatchNormGradAffine.Dy), grad.Epsilon),
            BatchNormGradInput grad => Gradients.BatchNormInput(In(BatchNormGradInput.X), In(BatchNormGradInput.Gamma),
                In(BatchNormGradInput.Statistics), In(BatchNormGradInput.Dy), In(BatchNormGradInput.Sums), grad.Epsilon),
            BatchNormRunning running => Gradients.BatchNormRunning(running, In(BatchNormRunning.Running), In(BatchNormRunning.Statistics)),
            BatchNormStatistics => Gradients.BatchNormStatistics(In(BatchNormStatistics.X)),
            BatchNormTrain norm => Gradients.BatchNormTrain(In(BatchNormTrain.X), In(BatchNormTrain.Gamma), In(BatchNormTrain.Beta),
                In(BatchNormTrain.Statistics), norm.Epsilon),
            ChannelSum => Gradients.ChannelSum(In(ChannelSum.X)),
            Conv2dGradInput grad => Gradients.Conv2dInput(grad, In(Conv2dGradInput.Dy), In(Conv2dGradInput.Weight)),
            Conv2dGradWeight grad => Gradients.Conv2dWeight(grad, In(Conv2dGradWeight.X), In(Conv2dGradWeight.Dy)),
            Dropout dropout => Gradients.Dropout(dropout, In(Dropout.X), (uint)In(Dropout.Step)[0]),
            GradientNorm norm => Training.GradientNorm(norm.Layout, In(GradientNorm.Gradients), at(GradientNorm.Scale)),
            GroupNormGradAffine => Gradients.GroupNormAffine(In(GroupNormGradAffine.Sums), at(GroupNormGradAffine.Film)),
            GroupNormGradFilm => Gradients.GroupNormFilm(In(GroupNormGradFilm.Sums), In(GroupNormGradFilm.Gamma),
                In(GroupNormGradFilm.Beta)),
            GroupNormGradInput grad => Gradients.GroupNormInput(grad, In(GroupNormGradInput.X), In(GroupNormGradInput.Affine),
                In(GroupNormGradInput.Normal), In(GroupNormGradInput.Dy), In(GroupNormGradInput.Sums)),
            GroupNormGradSums sums => Gradients.GroupNormSums(sums, In(GroupNormGradSums.X), In(GroupNormGradSums.Affine),
                In(GroupNormGradSums.Normal), In(GroupNormGradSums.Dy)),
            PairwiseCosine cosine => Training.PairwiseCosine(cosine.Vectors, In(PairwiseCosine.X)),
            PairwiseCosineGrad grad => Training.PairwiseCosineGrad(grad.Vectors, In(PairwiseCosineGrad.X), In(PairwiseCosineGrad.Dloss)[0]),
            LinearGradInput => Gradients.LinearInput(In(LinearGradInput.Dy), In(LinearGradInput.Weight)),
            LinearGradWeight => Gradients.LinearWeight(In(LinearGradWeight.Dy), In(LinearGradWeight.X)),
            LossScale => Training.LossScale(In(LossScale.State), In(LossScale.Norm)[0]),
            SumRowsGradInput grad => Gradients.SumRows(grad.Groups, In(SumRowsGradInput.Dy)),
            MseLoss => Gradients.MseLoss(In(MseLoss.Prediction), In(MseLoss.Target), at(MseLoss.Weights)),
            MseLossGradPrediction => Gradients.MseLossPrediction(In(MseLossGradPrediction.Prediction), In(MseLossGradPrediction.Target),
                at(MseLossGradPrediction.Weights), In(MseLossGradPrediction.Dloss)[0]),
            Pack pack => Training.Pack(pack.Layout, all),
            ScaleRows => Training.ScaleRows(In(ScaleRows.X), In(ScaleRows.Scale)),
            Slice slice => Gradients.Slice(slice, In(Slice.X)),
            UpsampleNearestGradInput => Gradients.Upsample(In(UpsampleNearestGradInput.Dy)),
            _ => null,
        };
    }

    private static Array64 Required(Operator op, Func<int, Array64?> at, int position) =>
        at(position) ?? throw new GraphException($"{op.Name}: input {position} is absent");

    private static Array64 Joined(Array64 x, Array64? x2) => x2 is null ? x : References.Concat(x, x2);

    private static Array64 Embedded(Array64 x, Array64? embedding) => embedding is null ? x : References.AddEmbedding(x, embedding);

    private static Array64 OnLoad(Array64 x, Array64? affine, Activation activation) =>
        References.Activate(activation, affine is null ? x : References.Affine(x, affine));

    private static Array64 Convolution(Conv2d conv, Func<int, Array64?> at)
    {
        Array64 x = OnLoad(Joined(at(Conv2d.X)!, at(Conv2d.X2)), at(Conv2d.Affine), conv.OnLoad);
        if (conv.Upsample) x = References.Upsample(x);
        Array64 y = References.Conv2d(x, at(Conv2d.Weight)!, conv.Stride, conv.Padding);
        if (at(Conv2d.SkipWeight) is { } weight)
            y = References.Add(y, References.Conv2d(Joined(at(Conv2d.Skip)!, at(Conv2d.Skip2)), weight, 1, 0));
        if (at(Conv2d.Bias) is { } bias) y = References.AddBias(y, bias);
        y = Embedded(y, at(Conv2d.Embedding));
        if (at(Conv2d.Residual) is { } residual) y = References.Add(y, conv.UpsampleResidual ? References.Upsample(residual) : residual);
        return References.Activate(conv.OnStore, y);
    }

    private static Array64 DenoiseAverage(DenoiseAverageStep step, Func<int, Array64?> at)
    {
        Array64 mean = References.SumRows(step.Groups, OnLoad(at(DenoiseAverageStep.H)!, at(DenoiseAverageStep.Affine), step.OnLoad));
        Array64 prediction = References.Conv2d(mean, at(DenoiseAverageStep.Weight)!, 1, 1);
        if (at(DenoiseAverageStep.Bias) is { } bias) prediction = References.AddBias(prediction, bias);
        return References.DenoiseStep(prediction, at(DenoiseAverageStep.X)!, at(DenoiseAverageStep.Table)!, at(DenoiseAverageStep.Step)!,
            at(DenoiseAverageStep.Noise), step.Clip);
    }
}
