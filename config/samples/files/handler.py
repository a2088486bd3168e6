import os

import util


def handler(event):
    return util.loud(event[0]) + os.environ["MARK"]
