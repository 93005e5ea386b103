"""The network's sizes, apart from the network so that reading a config does not import torch."""

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator


class NetworkConfig(BaseModel):
    """The sizes of a network. Saved in every checkpoint, so that a checkpoint alone says how to build it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    blocks: int = Field(4, ge=1, le=80, description="Residual blocks of two 3x3 convolutions.")
    channels: int = Field(32, ge=4, le=1024, description="Channels of the residual tower.")
    global_pooling_every: int = Field(2, ge=0, description="Every how many blocks one pools the board; 0: none does.")
    pooled_channels: int = Field(8, ge=1, description="Channels that a pooling block pools, at most all.")
    policy_channels: int = Field(8, ge=1, description="Channels in the policy head.")
    value_channels: int = Field(8, ge=1, description="Channels in the value head.")
    value_hidden: int = Field(64, ge=1, description="Width of the value head's hidden layer.")
    opponent_policy_head: bool = Field(
        False, description="Whether it learns to foresee the opponent's next move; in training only."
    )
    soft_policy_head: bool = Field(
        False, description="Whether it learns a policy that weighs lesser moves more; in training only."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_old_names(cls, values: Any) -> Any:
        if isinstance(values, dict) and "reply_head" in values:  # as checkpoints have it that were made before
            values = {**values, "opponent_policy_head": values["reply_head"]}
            del values["reply_head"]
        return values
