"""Makes the tables that this project did not write: `python3 make.py`, with pyarrow and pandas."""
import decimal
import datetime
import pathlib

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

here = pathlib.Path(__file__).parent
day = datetime.datetime(2026, 1, 2, 3, 4, 5, 600000)
message = pa.struct([("role", pa.string()), ("content", pa.string()), ("name", pa.string())])
table = pa.table({
    "id": pa.array([10, 11, 12, 13], pa.int64()),
    "text": pa.array(["one", "two\nlines", None, "vier \u00e9"], pa.large_string()),
    "lang": pa.array(["en", "en", "de", None]).dictionary_encode(),
    "chat": pa.array([
        [{"role": "user", "content": "a", "name": None}],
        [{"role": "system", "content": "s", "name": None}, {"role": "user", "content": "b", "name": "n"}],
        None,
        [],
    ], pa.list_(message)),
    "at": pa.array([day, day, None, day], pa.timestamp("us", tz="UTC")),
    "price": pa.array([decimal.Decimal("12.50"), decimal.Decimal("-0.01"), None, decimal.Decimal("7.00")],
                      pa.decimal128(9, 2)),
    "score": pa.array([0.1, 2.5, None, float("nan")], pa.float32()),
})
pq.write_table(table, here / "types.parquet", row_group_size=2, compression="zstd")
feather.write_feather(table, here / "types.arrow", compression="lz4")
pd.DataFrame({"id": [1, 2, 3], "text": ["a", "b,c", None]}).to_parquet(here / "pandas.parquet")
pd.DataFrame({"id": [1, 2, 3], "text": ["a", 'b,"c"\nd', None]}).to_csv(here / "pandas.csv.gz", index=False)
